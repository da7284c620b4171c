"""goque in Django's admin: the entry Dashboard on its index, and the dashboard's pages below it.

Django imports this module if `django.contrib.admin` is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps.registry import Apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.urls import path, reverse
from django.views.decorators.csrf import csrf_exempt

from goque.contrib.django.dashboard import answer

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class Dashboard(models.Model):
    """Gives the dashboard its line in the admin, which lists models. It has no table, and no migration knows it."""

    id = models.AutoField(primary_key=True)

    class Meta:
        """Keep the model out of the project's models."""

        apps = Apps()
        app_label = "goque"
        managed = False
        verbose_name = "dashboard"
        verbose_name_plural = "Dashboard"

    def __str__(self) -> str:
        return "dashboard"


class DashboardAdmin(admin.ModelAdmin):
    """Shows the dashboard to staff. Superusers may act: cancel, reset, pause and run.

    A subclass that you register instead can have other rules in `has_view_permission` and `has_change_permission`.
    """

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the admin's index shows the dashboard."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may see the dashboard, which shows payloads and errors of all tasks."""
        del obj
        return bool(request.user.is_active and request.user.is_staff)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may act."""
        del obj
        return bool(request.user.is_active and request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: nothing is added here."""
        del request
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: nothing is deleted here."""
        del request, obj
        return False

    def get_urls(self) -> list[Any]:
        """Serve all pages of the dashboard; its forms have their own protection against other sites."""
        view = self.admin_site.admin_view(csrf_exempt(self.dashboard_view), cacheable=True)
        return [
            path("", view, name="goque_dashboard_changelist"),
            path("<path:page>", view, name="goque_dashboard_page"),
        ]

    def dashboard_view(self, request: HttpRequest, page: str = "") -> HttpResponse:
        """Answer with a page of the dashboard."""
        del page
        if not self.has_view_permission(request):
            raise PermissionDenied
        prefix = reverse(f"{self.admin_site.name}:goque_dashboard_changelist").rstrip("/")
        return answer(request, prefix, may_act=self.has_change_permission(request))


admin.site.register(Dashboard, DashboardAdmin)
