from django.urls import path

from dashboard import log_views

app_name = "dashboard"
urlpatterns = [
    path("", log_views.logs, name="logs"),
    path("new/", log_views.new_events, name="new_events"),
    path("event/<str:source>/<str:event_position>/", log_views.log_event, name="log_event"),
]
