/* Which pages the guest dirties, and how fast. */
#include "common_futex.h"
#include "common_page.h"
#include "guest.h"

#define CHUNK 64 /* pages between two looks at the command word: bounds the time to stop */

/* Hot working set: 15 of 16 writes go to it, the rest anywhere. */
#define HOT_SHARE 15
#define HOT_OF 16

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

/* xoroshiro128+; its state lives in the vcpu page, so a restored guest draws the same numbers. */
static uint64_t draw(uint64_t rng[2])
{
    uint64_t a = rng[0], b = rng[1], result = a + b;
    b ^= a;
    rng[0] = rotl(a, 24) ^ b ^ b << 16;
    rng[1] = rotl(b, 37);
    return result;
}

static uint64_t draw_below(uint64_t rng[2], uint64_t bound)
{
    return (uint64_t)((unsigned __int128)draw(rng) * bound >> 64);
}

static uint64_t pick(const struct guest *g, struct simxen_arch *arch)
{
    uint64_t hot = arch->hot_pages;
    switch (arch->pattern) {
    case SIMXEN_SEQUENTIAL:
        return arch->counter % g->guest_pages;
    case SIMXEN_HOT:
        if (hot > 0 && hot < g->guest_pages && draw_below(arch->rng, HOT_OF) < HOT_SHARE)
            return draw_below(arch->rng, hot);
        return draw_below(arch->rng, g->guest_pages);
    default:
        return draw_below(arch->rng, g->guest_pages);
    }
}

static void write_page(struct guest *g, uint64_t pfn)
{
    simxen_page_advance(g->memory + pfn * SIMXEN_PAGE_SIZE, pfn, &g->vcpu->arch.digest);
    if (g->logging)
        bitmap_log(g->bitmap, pfn);
    g->vcpu->arch.counter++;
}

void guest_write_start(struct guest *g)
{
    struct simxen_arch *arch = &g->vcpu->arch;
    if (arch->rng[0] == 0 && arch->rng[1] == 0) { /* the one state the generator cannot leave */
        arch->rng[0] = mix64(arch->guest_id);
        arch->rng[1] = mix64(arch->rng[0]);
    }
}

bool guest_fill_pending(const struct guest *g)
{
    return load_word(&g->vcpu->fill) == SIMXEN_FILL_WANTED;
}

void guest_fill_chunk(struct guest *g)
{
    for (int n = 0; n < CHUNK && g->filled < g->guest_pages; n++)
        write_page(g, g->filled++);
    if (g->filled < g->guest_pages)
        return;
    store_word(&g->vcpu->fill, SIMXEN_FILL_DONE);
    futex_ring(&g->vcpu->ack);
}

/* Pages that are due now at `rate`, at most CHUNK; 0 and *wait if none is. */
static uint64_t due(struct guest *g, uint64_t rate, uint64_t *wait)
{
    uint64_t now = monotonic_ns();
    if (rate != g->pace_rate) {
        g->pace_rate = rate;
        g->pace_start = now;
        g->pace_written = 0;
    }
    uint64_t elapsed = now - g->pace_start;
    unsigned __int128 earned = (unsigned __int128)elapsed * rate / NS_PER_SECOND;
    if (earned > g->pace_written) {
        uint64_t pages = (uint64_t)(earned - g->pace_written);
        if (elapsed > NS_PER_SECOND) { /* forget older debt: no bursts after a slow second */
            g->pace_start = now;
            g->pace_written = 0;
        } else {
            g->pace_written += pages < CHUNK ? pages : CHUNK;
        }
        return pages < CHUNK ? pages : CHUNK;
    }
    unsigned __int128 next = ((unsigned __int128)g->pace_written + 1) * NS_PER_SECOND / rate;
    *wait = next > elapsed ? (uint64_t)(next - elapsed) : 1;
    return 0;
}

uint64_t guest_write_chunk(struct guest *g)
{
    struct simxen_arch *arch = &g->vcpu->arch;
    uint64_t rate = __atomic_load_n(&arch->rate, __ATOMIC_RELAXED), wait = 0, pages = CHUNK;
    if (rate == 0)
        return NS_PER_SECOND;
    if (rate != SIMXEN_FULL_SPEED)
        pages = due(g, rate, &wait);
    while (pages-- > 0)
        write_page(g, pick(g, arch));
    return wait;
}
