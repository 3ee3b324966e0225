"""metrics.py FILE COUNT: the text in FILE is what Prometheus takes, and at least COUNT requests for / are in it, each with a
duration; at most a few more, by which it was seen that the server serves."""

import sys

from prometheus_client.parser import text_string_to_metric_families

FEW = 50


def main() -> None:
    path, count = sys.argv[1], int(sys.argv[2])
    with open(path, encoding="utf-8") as file:
        families = {family.name: family for family in text_string_to_metric_families(file.read())}

    def total(family: str, sample: str, **labels: str) -> float:
        found = families[family].samples
        wanted = labels.items()
        return sum(s.value for s in found if s.name == sample and wanted <= s.labels.items())

    requests = total("squall_http_requests", "squall_http_requests_total", route="/", status="200")
    name = "squall_http_request_duration_seconds"
    durations = total(name, name + "_count", route="/")
    last = total(name, name + "_bucket", route="/", le="+Inf")
    restarts = total("squall_process_restarts", "squall_process_restarts_total")
    print(f"{len(families)} families; {requests:.0f} requests, {durations:.0f} durations, {restarts:.0f} restarts")
    if not (count <= requests <= count + FEW and requests == durations == last and restarts == 1):
        sys.exit(f"FAILED: not {count}")
    print("ok: numbers of two workers add up")


main()
