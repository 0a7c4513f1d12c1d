from django.urls import path

from dashboard.letters import views

urlpatterns = [
    path("operations/letters/", views.letters, name="letters"),
    path("operations/letters/like/<int:pk>/", views.group, name="letter_group"),
    path("operations/letters/<int:pk>/", views.letter, name="letter"),
]
