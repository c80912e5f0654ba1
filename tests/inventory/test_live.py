"""The live inventory: all pages, all regions in parallel, no empty listing without proof."""

import json
from collections.abc import Mapping
from urllib.parse import parse_qs

import anyio
import pytest

from rollout.ecs.transport import SignedCall
from rollout.ecs.wire import HttpReply
from rollout.errors import Exit, RolloutError
from rollout.inventory import live
from rollout.model import selector
from rollout.model.instance import Instance
from rollout.model.outcome import Refused, RetryClass, Unknown
from tests.ecs.scripted import JumpClock, client_on
from tests.inprocess import InProcessTransport
from tests.inventory.samples import Reply, Service, fleet, listing

pytestmark = pytest.mark.asyncio
HANGZHOU, SHANGHAI = "cn-hangzhou", "cn-shanghai"
THROTTLED = Refused("Throttling.User", RetryClass.THROTTLED, "slow down")


async def failure(service: Service, *regions: str) -> RolloutError:
    """Return the error of listing these regions."""
    with pytest.raises(RolloutError) as caught:
        await live.list_regions(service, regions, None)
    return caught.value


async def test_pages_are_read_to_the_end() -> None:
    """A region of 250 instances takes three calls, and the calls are counted."""
    service = Service(fleet(250))

    listed = await live.list_regions(service, [HANGZHOU], None)

    assert (len(listed.instances), listed.calls) == (250, 3)


async def test_regions_are_read_at_once() -> None:
    """Regions are read in parallel: the first page of each is requested before one arrives."""
    service = Service(fleet(1) + fleet(1, SHANGHAI))
    begun, both = [], anyio.Event()
    true_reply = service.describe_instances

    async def slow(
        region: str, filters: Mapping[str, str] | None = None, *, next_token: str = ""
    ) -> Reply:
        begun.append(region)
        if len(begun) == 2:
            both.set()
        with anyio.fail_after(5):
            await both.wait()
        return await true_reply(region, filters, next_token=next_token)

    service.describe_instances = slow  # type: ignore[method-assign]

    listed = await live.list_regions(service, [HANGZHOU, SHANGHAI], None)

    assert sorted(one.region for one in listed.instances) == [HANGZHOU, SHANGHAI]


async def test_equalities_are_filtered_by_the_service_the_rest_here() -> None:
    """`env=prod` is sent as a tag filter; sets, negations and existence are matched locally."""
    web = fleet(2, tags=(("env", "prod"), ("tier", "web")))
    others = [
        *fleet(4, tags=(("env", "prod"), ("tier", "db")))[2:],
        *fleet(6, tags=(("env", "dev"), ("tier", "web")))[4:],
    ]
    service = Service(web + others)

    select = selector.parse("env=prod, tier in (web, api), !legacy")
    listed = await live.list_regions(service, [HANGZHOU], select)

    assert listed.instances == web
    assert service.calls == [("list", HANGZHOU, {"Tag.1.Key": "env", "Tag.1.Value": "prod"})]


async def test_a_key_pair_is_filtered_by_the_service() -> None:
    """Only instances with the key pair are requested; a thousand of them are read as listed."""
    service = Service(fleet(1_000, key_pair="ops"), size=500)

    listed = await live.list_regions(service, [HANGZHOU], None, key_pair="ops")

    assert len(listed.instances) == 1_000
    assert [filters for _, _, filters in service.calls] == [{"KeyPairName": "ops"}] * 2


async def test_many_matches_of_a_tag_filter_are_not_believed() -> None:
    """From a thousand matches on, the filter may hide some, so the region is listed without it."""
    service = Service(fleet(1_000, tags=(("env", "prod"),)), size=500)

    listed = await live.list_regions(service, [HANGZHOU], selector.parse("env=prod"))

    assert len(listed.instances) == 1_000
    assert [filters for _, _, filters in service.calls] == [
        {"Tag.1.Key": "env", "Tag.1.Value": "prod"}
    ] * 2 + [{}] * 2


def counting(count: int, total: int) -> live.Lister:
    """Return a client of a service with `count` instances. Each page has this TotalCount, and a
    listing by tag has only the first 1,000 matches.
    """

    def answer(call: SignedCall) -> HttpReply:
        params = {name: values[0] for name, values in parse_qs(call.query).items()}
        start = int(params.get("NextToken", 0))
        shown = min(count, 1_000) if "Tag.1.Key" in params else count
        stop = min(start + 100, shown)
        tags = {"Tag": [{"TagKey": "env", "TagValue": "prod"}]}
        rows = [{"InstanceId": f"i-{n}", "Status": "Running", "Tags": tags} for n in range(count)]
        more = str(stop) if stop < shown else ""
        page = {"RequestId": "R", "Instances": {"Instance": rows[start:stop]}, "NextToken": more}
        return HttpReply(200, {}, json.dumps({**page, "TotalCount": total}).encode())

    return client_on(InProcessTransport(answer), JumpClock())


async def test_a_tag_filter_that_hides_counted_matches_is_dropped() -> None:
    """The service counts 1,500 matches and lists 1,000: the region is listed without the filter."""
    service = counting(1_500, 1_500)

    listed = await live.list_regions(service, [HANGZHOU], selector.parse("env=prod"))

    assert len(listed.instances) == 1_500


async def test_an_instance_on_two_pages_is_one() -> None:
    """A fleet that changes during a listing can list an instance twice; the later row counts."""
    first, second = fleet(2)
    service = Service([])
    service.paging = lambda _, token: (
        listing((second,)) if token else listing((first, second), next_token="t")
    )

    listed = await live.list_regions(service, [HANGZHOU], None)

    assert listed.instances == [first, second]


async def test_an_empty_page_inside_is_no_end() -> None:
    """A listing ends only with a page without a token."""
    service = Service([])
    pages = {"": listing((), "a"), "a": listing(tuple(fleet(1)), "b"), "b": listing(())}
    service.paging = lambda _, token: pages[token]

    listed = await live.list_regions(service, [HANGZHOU], None)

    assert len(listed.instances) == 1


@pytest.mark.parametrize("shown", [tuple(fleet(1)), ()])
async def test_pages_without_end_are_refused(shown: tuple[Instance, ...]) -> None:
    """A repeated token, or empty pages without end, end with exit 6 after a second attempt."""
    service = Service([])
    service.paging = lambda _, token: listing(shown, str(int(token or 0) + 1) if not shown else "t")

    error = await failure(service, HANGZHOU)

    assert (error.problems[0].code, error.exit) == ("R0213", Exit.CONFLICT)
    assert len(service.calls) < 50


async def test_a_cycle_of_pages_is_read_again() -> None:
    """If the second listing is complete, it is used."""
    service = Service(fleet(3))
    service.first[HANGZHOU] = [listing(tuple(fleet(1)), "1"), listing((), "1")]

    listed = await live.list_regions(service, [HANGZHOU], None)

    assert len(listed.instances) == 3


@pytest.mark.parametrize("reply", [THROTTLED, Unknown("lost")])
async def test_the_client_alone_repeats_calls(reply: Reply) -> None:
    """A failed call is not repeated here, because the client has already retried it."""
    service = Service(fleet(3))
    service.first[HANGZHOU] = [reply]

    await failure(service, HANGZHOU)

    assert len(service.calls) == 1


async def test_a_problem_that_many_calls_of_a_region_share_is_reported_once() -> None:
    """A hundred lookups in a region that does not answer give one problem."""
    service = Service([])
    service.first[HANGZHOU] = [THROTTLED] * 100
    ids = {HANGZHOU: [one.id for one in fleet(5_000)]}

    with pytest.raises(RolloutError) as caught:
        await live.hydrate(service, ids)

    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    "reply,code,status",
    [
        (THROTTLED, "R0411", Exit.FAILED),
        (Unknown("timeout"), "R0410", Exit.FAILED),
        (Unknown("proxy_or_gateway"), "R0412", Exit.FAILED),
        (Refused("not_sent", RetryClass.UNSENT), "R0410", Exit.FAILED),
        (Refused("Forbidden.RAM", RetryClass.DENIED), "R0403", Exit.DENIED),
        (Refused("InvalidAccessKeyId.NotFound", RetryClass.DENIED), "R0402", Exit.DENIED),
        (Refused("R0401", RetryClass.DENIED), "R0401", Exit.DENIED),
        (Refused("InvalidTimeStamp.Expired", RetryClass.CLOCK), "R0404", Exit.DENIED),
        (Refused("InvalidRegionId.NotFound", RetryClass.KEY_PAIR), "R0411", Exit.FAILED),
    ],
)
async def test_a_refusal_is_reported(reply: Refused | Unknown, code: str, status: Exit) -> None:
    """Each refusal has its code and exit code, with the region and the service's message."""
    service = Service(fleet(3))
    service.first[HANGZHOU] = [reply] * 40

    error = await failure(service, HANGZHOU)

    assert (error.problems[0].code, error.exit) == (code, status)
    assert HANGZHOU in error.problems[0].message


async def test_all_regions_fail_at_once() -> None:
    """The problems of all regions are reported, and the exit code with the highest precedence is
    used.
    """
    service = Service([])
    service.first = {
        HANGZHOU: [Refused("Forbidden.RAM", RetryClass.DENIED)],
        SHANGHAI: [Refused("Odd", RetryClass.ODD)],
    }

    error = await failure(service, HANGZHOU, SHANGHAI)

    assert sorted(each.code for each in error.problems) == ["R0403", "R0411"]
    assert error.exit is Exit.FAILED


async def test_an_empty_listing_with_permission_is_accepted() -> None:
    """A dry run that passes proves that the region is empty."""
    service = Service([])

    listed = await live.list_regions(service, [HANGZHOU], None)

    assert (listed.instances, len(service.asked("probe"))) == ([], 1)


async def test_an_empty_listing_without_permission_is_refused() -> None:
    """Without permission the service lists no instance: exit 4 with region and fix."""
    service = Service(fleet(3) + fleet(3, SHANGHAI))
    service.blind = (SHANGHAI,)

    error = await failure(service, HANGZHOU, SHANGHAI)

    (problem,) = error.problems
    assert (problem.code, error.exit) == ("R0211", Exit.DENIED)
    assert problem.message == "DescribeInstances returned 0 instances in cn-shanghai"
    assert problem.request_id == "REQ-1"
    assert "not accepted" in " ".join(map(str, problem.notes))


async def test_ids_are_read_in_pages_of_100() -> None:
    """250 ids of one region are observed by three calls with at most 100 ids."""
    service = Service(fleet(250) + fleet(1, SHANGHAI))

    ids = {
        HANGZHOU: [one.id for one in fleet(250)],
        SHANGHAI: [one.id for one in fleet(2, SHANGHAI)],
    }
    looked = await live.hydrate(service, ids)

    assert len(looked.instances) == 251
    sizes = sorted(len(str(asked).split(",")) for _, _, asked in service.asked("look"))
    assert sizes == [2, 50, 100, 100]


async def test_a_region_without_any_of_its_ids_counts_as_empty() -> None:
    """A region that lists none of its ids needs a proof of permission."""
    service = Service(fleet(3))
    service.blind = (HANGZHOU,)

    with pytest.raises(RolloutError) as caught:
        await live.hydrate(service, {HANGZHOU: ["i-bp1000000"], SHANGHAI: []})

    assert caught.value.problems[0].code == "R0211"
