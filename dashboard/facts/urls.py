from django.urls import path, register_converter

from dashboard.facts import views
from dashboard.facts.fact_keys import FactKeyConverter
from dashboard.facts.metric_names import MetricConverter

register_converter(FactKeyConverter, "fact_key")
register_converter(MetricConverter, "metric")

urlpatterns = [
    path("services/<str:name>/<metric:metric>/<str:period>/", views.value, name="value"),
    path("services/<str:name>/deployments/<fact_key:key>/", views.deployment, name="deployment"),
    path("services/<str:name>/changes/<int:repository>/<int:number>/", views.change, name="change"),
    path("services/<str:name>/incidents/<fact_key:key>/", views.incident, name="incident"),
    path("staged/<int:pk>/", views.staged_page, name="staged_page"),
    path("staged/<int:pk>/raw/", views.staged_page_raw, name="staged_page_raw"),
]
