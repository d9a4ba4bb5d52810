"""Worker and launcher understand each other."""

from moonmind.agents.supervision import EndReason, EndReport, LaunchOrder


class TestMessages:
    def test_an_order_arrives_as_it_was_sent(self) -> None:
        order = LaunchOrder(["a\nb", "ü\udcff"], "/ws", {"A": "ü"}, "/dev/null", "/log", 1.5, 2.5, 3, ["/ws"], [])
        assert order.to_line().count(b"\n") == 1
        assert LaunchOrder.from_line(order.to_line()) == order

    def test_a_report_is_found_among_other_output(self) -> None:
        report = EndReport(EndReason.EXITED, -9, 1.25, "words")
        assert EndReport.from_output(b"a warning\n" + report.to_line() + b"more\n") == report

    def test_a_launcher_that_was_killed_left_no_report(self) -> None:
        assert EndReport.from_output(b"Traceback (most recent call last):\n") is None
