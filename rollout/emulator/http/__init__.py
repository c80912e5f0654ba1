"""The emulator over HTTP: gateway, admin endpoints, rendering and injected damage."""
