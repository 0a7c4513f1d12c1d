from django.urls import path

from dashboard.definitions import views

urlpatterns = [path("", views.definitions, name="definitions")]
