from django.urls import include, path

from demo.login import log_in

urlpatterns = [path("demo/<str:token>/", log_in), path("", include("callcentersite.urls"))]
