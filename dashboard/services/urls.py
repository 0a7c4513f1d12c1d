from django.urls import path

from dashboard.services import views

urlpatterns = [
    path("services/<str:name>/", views.service, name="service"),
    path("services/<str:name>/recompute/", views.recompute, name="recompute"),
    path("compare/", views.compare, name="compare"),
]
