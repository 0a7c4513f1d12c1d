from django.urls import path

from dashboard.logs import views

urlpatterns = [
    path("", views.logs, name="logs"),
    path("new/", views.new_events, name="new_events"),
    path("event/<path:source>/<str:event_position>/", views.log_event, name="log_event"),
]
