from django.urls import path

from etl_tasks import views

app_name = "etl_tasks"
urlpatterns = [
    path("", views.logs, name="logs"),
    path("new/", views.new_events, name="new_events"),
    path("event/<str:source>/<str:place>/", views.log_event, name="log_event"),
]
