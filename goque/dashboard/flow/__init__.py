"""The steps of drawing a flow: read its graph, make boxes, order and place them, write SVG. No I/O happens here."""
