"""Takes orders, and lists them."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from shop.models import Order
from shop.tasks import send_receipt


@csrf_exempt  # a page with a form has a token; this is asked by programs
def orders(request: HttpRequest) -> JsonResponse:
    """Take an order, or list all of them."""
    if request.method == "POST":
        order = place_order(request.POST["email"], request.POST["item"])
        return JsonResponse({"number": order.pk}, status=201)
    return JsonResponse({"orders": list(Order.objects.values("id", "item", "receipt"))})


@transaction.atomic
def place_order(email: str, item: str) -> Order:
    """Insert an order and the task to send its receipt; both are there when this commits, or neither is."""
    order = Order.objects.create(email=email, item=item)
    send_receipt.enqueue(order.pk, external_id=f"order-{order.pk}")
    return order
