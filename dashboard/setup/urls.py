from django.urls import path

from dashboard.setup import views

urlpatterns = [
    path("setup/", views.setup, name="setup"),
    path("setup/github/", views.github, name="setup_github"),
    path("setup/logs/", views.logs, name="setup_logs"),
    path("setup/progress/<int:pk>/", views.progress, name="setup_progress"),
]
