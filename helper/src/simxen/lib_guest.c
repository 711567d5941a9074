/* For the host: command a guest process and wait for its answer; write as its device model. */
#include "common_futex.h"
#include "common_page.h"
#include "simxen.h"

#include <errno.h>
#include <stdbool.h>

#define LOOK_AGAIN (10 * NS_PER_MS) /* bound of one wait: also a silent change is seen */

typedef bool reached_fn(const struct simxen_vcpu *v, uint32_t wanted);

static bool state_reached(const struct simxen_vcpu *v, uint32_t command)
{
    static const uint32_t leads_to[] = {
        [SIMXEN_RUN] = SIMXEN_RUNNING, [SIMXEN_STOP] = SIMXEN_STOPPED, [SIMXEN_EXIT] = SIMXEN_EXITED};
    return load_word(&v->state) == leads_to[command];
}

static bool tracker_reached(const struct simxen_vcpu *v, uint32_t wanted)
{
    return (load_word(&v->tracker_state) != SIMXEN_TRACKER_OFF) == (wanted != 0);
}

static int wait_for(struct simxen_vcpu *v, reached_fn *reached, uint32_t wanted, int timeout_ms)
{
    uint64_t end = monotonic_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * NS_PER_MS;
    for (;;) {
        uint32_t ack = load_word(&v->ack); /* before the look: an answer after it wakes us */
        if (reached(v, wanted))
            return 0;
        uint64_t now = monotonic_ns();
        if (now >= end)
            break;
        futex_wait(&v->ack, ack, end - now < LOOK_AGAIN ? end - now : LOOK_AGAIN);
    }
    errno = ETIMEDOUT;
    return -1;
}

void simxen_guest_ring(void *vcpu)
{
    futex_ring(&((struct simxen_vcpu *)vcpu)->doorbell);
}

int simxen_guest_command(void *vcpu, uint32_t command, int timeout_ms)
{
    struct simxen_vcpu *v = vcpu;
    if (command > SIMXEN_EXIT) {
        errno = EINVAL;
        return -1;
    }
    store_word(&v->command, command);
    futex_ring(&v->doorbell);
    return wait_for(v, state_reached, command, timeout_ms);
}

int simxen_guest_tracker(void *vcpu, uint32_t wanted, uint32_t kind, int timeout_ms)
{
    struct simxen_vcpu *v = vcpu;
    store_word(&v->tracker_kind, kind);
    store_word(&v->tracker_wanted, wanted != 0);
    futex_ring(&v->doorbell);
    if (wait_for(v, tracker_reached, wanted, timeout_ms) != 0)
        return -1;
    return (int)load_word(&v->tracker_state);
}

int simxen_dma_write(void *memory, void *vcpu, uint64_t nr_pages, uint64_t pfn, int log)
{
    struct simxen_vcpu *v = vcpu;
    if (pfn >= nr_pages) {
        errno = EINVAL;
        return -1;
    }
    simxen_page_advance((uint8_t *)memory + pfn * SIMXEN_PAGE_SIZE, pfn, &v->arch.digest);
    if (log)
        bitmap_log((uint64_t *)(void *)((uint8_t *)vcpu + simxen_dm_bitmap(nr_pages)), pfn);
    return 0;
}
