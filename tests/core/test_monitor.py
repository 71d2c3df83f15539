from gpen_core.monitor import SILENT, Monitor


def test_a_monitor_without_callbacks_does_nothing():
    SILENT.on_progress(1, 2)
    SILENT.on_crop(None)
    SILENT.check_interrupt()


def test_without_progress_interruption_alone_is_left():
    called = []
    monitor = Monitor(
        on_progress=lambda *_: called.append("progress"),
        on_crop=lambda _: called.append("crop"),
        check_interrupt=lambda: called.append("interrupt"),
    ).without_progress()
    monitor.on_progress(1, 2)
    monitor.on_crop(None)
    monitor.check_interrupt()
    assert called == ["interrupt"]
