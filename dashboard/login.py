"""The login page."""

from typing import Any

from django.contrib.auth.views import LoginView


class Login(LoginView):
    """Log in, and go on to the page that was asked for, otherwise to the overview."""

    template_name = "dashboard/login.html"
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "is_login_page": True}
