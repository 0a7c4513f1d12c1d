from django.urls import path

from dashboard.operations import actions, deletion_views, run_views, source_views, views

urlpatterns = [
    path("operations/", views.operations, name="operations"),
    path("operations/live/", views.live, name="live"),
    path("operations/nights/", views.nights, name="nights"),
    path("operations/durations/", views.durations, name="durations"),
    path("operations/components/", views.components, name="components"),
    path("operations/runs/", run_views.runs, name="runs"),
    path("operations/runs/<int:pk>/", run_views.run, name="run"),
    path("operations/sources/<int:pk>/", source_views.source, name="source"),
    path("operations/sources/<int:pk>/range/", source_views.run_range, name="run_range"),
    # actions: POST only
    path("operations/run-all/", actions.run_all, name="run_all"),
    path("operations/runs/<int:pk>/cancel/", actions.cancel, name="cancel_run"),
    path("operations/runs/<int:pk>/replay/", actions.replay_run, name="replay_run"),
    path("operations/sources/<int:pk>/run/", actions.run_source, name="run_source"),
    path("operations/sources/<int:pk>/run-range/", actions.run_range, name="start_run_range"),
    path("operations/sources/<int:pk>/enable/", actions.enable, name="enable_source"),
    path("operations/sources/<int:pk>/disable/", actions.disable, name="disable_source"),
    path("operations/sources/<int:pk>/test/", actions.check_connection, name="test_source"),
    path("operations/letters/<int:pk>/replay/", actions.replay_letter, name="replay_letter"),
    path("operations/letters/<int:pk>/replay-alike/", actions.replay_alike, name="replay_alike"),
    path("operations/letters/<int:pk>/discard/", actions.discard_letter, name="discard_letter"),
    path("operations/letters/<int:pk>/discard-alike/", actions.discard_alike, name="discard_alike"),
    # deletion: a page with what would be deleted, and an action
    path("operations/sources/<int:pk>/delete/", deletion_views.source, name="delete_source"),
    path("operations/sources/<int:pk>/delete/begin/", deletion_views.begin_source, name="begin_source_deletion"),
    path("services/<str:name>/delete/", deletion_views.service, name="delete_service"),
    path("services/<str:name>/delete/begin/", deletion_views.begin_service, name="begin_service_deletion"),
]
