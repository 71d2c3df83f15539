"""The detector that ours takes its weights from."""


def reference_of(network_name, detector):
    """facexlib's own with the weights of one of ours; imported here, since that takes seconds."""
    from facexlib.detection.retinaface import RetinaFace

    network = RetinaFace(network_name, device="cpu")
    network.load_state_dict(detector.network.state_dict())
    return network.eval()
