"""A domain that is unpaused runs, and its device model with it."""

from libxlpy import Context
from libxlpy.domain.device_model import DeviceModel
from libxlpy.results.report import GuestFacts
from tests.support.guest import Guest, aside


async def test_device_model_that_is_stopped_goes_on_first(ctx: Context, hvm: Guest):
    await ctx.domain_pause(hvm.domid)
    env = ctx._env()
    device_model = DeviceModel(env, hvm.domid, "", GuestFacts())
    async with env.hypercalls() as ops:
        await device_model._execute(ops, "stop")  # as libxl starts it after a restore
    await device_model.close()
    assert (await aside(hvm.facts))["qmp_running"] is False
    await ctx.domain_unpause(hvm.domid)
    await aside(hvm.assert_untouched)


async def test_pv_domain_has_none_and_is_unpaused(ctx: Context, pv: Guest):
    await ctx.domain_pause(pv.domid)
    await ctx.domain_unpause(pv.domid)
    await aside(pv.assert_untouched)
