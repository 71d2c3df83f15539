"""Prompts that need to name only the widgets that they set."""


class DefaultingServer:
    """A server whose prompts need to name only the widgets that they set."""

    def __init__(self, server) -> None:
        self._server = server
        self._schemas = server.object_info()

    def __getattr__(self, name):
        return getattr(self._server, name)

    def queue(self, prompt: dict) -> str:
        return self._server.queue({key: self._defaulted(node) for key, node in prompt.items()})

    def run(self, prompt: dict):
        return self._server.run({key: self._defaulted(node) for key, node in prompt.items()})

    def _defaulted(self, node: dict) -> dict:
        required = self._schemas[node["class_type"]]["input"].get("required", {})
        defaults = {
            name: spec[1]["default"]
            for name, spec in required.items()
            if len(spec) > 1 and "default" in spec[1]
        }
        return {**node, "inputs": {**defaults, **node["inputs"]}}
