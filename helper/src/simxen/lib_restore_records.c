/* Which record may come when, how long it may be, and what it does: one table. The rules of
 * libxlpy/streams/rules.py once more, which a test holds against each other; and what only simxen
 * can know: its own guests' state, the size of the domain. */
#include "lib_restore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BIT(type) (UINT32_C(1) << (type))
#define CONTEXT_MAX (1u << 20) /* of an HVM context; Xen's own are some KiB */

enum { BOTH = 0, PV = SIMXEN_PV, HVM = SIMXEN_HVM };
/* Parts of an image, in their order: what the domain is, its pages, the rest. */
enum { STATIC, MEMORY, STATE };
/* How often: any number, once until the next checkpoint, once; and in which streams. */
enum { MANY = 0, EACH = 1, ONCE = 2, PLAIN_ONLY = 4, CHECKPOINTED_ONLY = 8 };

typedef int apply_fn(struct restore *r, const uint8_t *body, uint32_t length);

struct record_rule {
    enum record_type type;
    const char *name;
    uint32_t min, max, multiple; /* of the body's length; (length - min) % multiple == 0 */
    int domain;                  /* BOTH, PV or HVM */
    uint32_t stage;
    int flags;
    uint32_t after; /* records that must have come; those of the other domain type don't count */
    apply_fn *apply;
};

/* ---- what the records do ---- */

static int apply_nothing(struct restore *r, const uint8_t *body, uint32_t length)
{
    (void)r, (void)body, (void)length;
    return 0;
}

/* A PV image names each frame once at least, as libxc's saver does; any has a page. */
static int check_whole(struct restore *r)
{
    if (!r->have_context)
        return restore_malformed(r, "No state of vcpu 0");
    for (uint64_t pfn = 0; r->named != NULL && pfn <= r->last_pfn; pfn++) {
        if (!(r->named[pfn / 64] >> pfn % 64 & 1))
            return restore_malformed(r, "Memory is not whole: pfn %#lx of 0 to %#lx was never named",
                                     (unsigned long)pfn, (unsigned long)r->last_pfn);
    }
    return r->have_page ? 0 : restore_malformed(r, "Memory is missing: no page came");
}

static int apply_end(struct restore *r, const uint8_t *body, uint32_t length)
{
    (void)body, (void)length;
    r->ended = true;
    return r->keeping ? 0 : check_whole(r);
}

static int apply_checkpoint(struct restore *r, const uint8_t *body, uint32_t length)
{
    (void)body, (void)length;
    r->stage = MEMORY;
    r->seen_here = 0;
    memset(r->vcpus, 0, sizeof r->vcpus);
    return r->keeping ? 0 : check_whole(r);
}

static int no_reserved_bits(struct restore *r, bool set, const char *what)
{
    return set ? restore_malformed(r, "Reserved bits of a %s record are set", what) : 0;
}

static int apply_pv_info(struct restore *r, const uint8_t *body, uint32_t length)
{
    static const uint8_t zeros[6];
    (void)length;
    if (body[0] == 8 && body[1] == 4)
        return no_reserved_bits(r, memcmp(body + 2, zeros, sizeof zeros) != 0, "PV info");
    return restore_malformed(r, "Unsupported guest width %u, levels %u", body[0], body[1]);
}

static int apply_static_data_end(struct restore *r, const uint8_t *body, uint32_t length)
{
    (void)body, (void)length;
    unsigned missing = (r->seen & BIT(REC_CPUID_POLICY) ? 0 : MISSING_CPUID) |
                       (r->seen & BIT(REC_MSR_POLICY) ? 0 : MISSING_MSR);
    if (r->callbacks->static_data_done == NULL)
        return 0;
    int rc = r->callbacks->static_data_done(missing, r->callbacks->data);
    if (rc == 0)
        return 0;
    log_error(r->xch, "static_data_done() callback failed: %d", rc);
    errno = ECANCELED;
    return -1;
}

static int apply_p2m_frames(struct restore *r, const uint8_t *body, uint32_t length)
{
    struct p2m_frames_header h;
    memcpy(&h, body, sizeof h);
    if (h.start_pfn > h.end_pfn || h.start_pfn >= P2M_PER_FRAME || h.end_pfn >= r->memory.nr_pages)
        return restore_malformed(r, "P2M frames %#x to %#x outside the domain", h.start_pfn,
                                 h.end_pfn);
    uint64_t frames = h.end_pfn / P2M_PER_FRAME + 1 - h.start_pfn / P2M_PER_FRAME;
    if (length != sizeof h + frames * sizeof(uint64_t))
        return restore_malformed(r, "P2M frames record of %u bytes for %lu frames", length,
                                 (unsigned long)frames);
    for (uint64_t i = 0; i < frames; i++) {
        uint64_t pfn;
        memcpy(&pfn, body + sizeof h + i * sizeof pfn, sizeof pfn);
        if (pfn > h.end_pfn)
            return restore_malformed(r, "P2M frame %#lx outside the domain", (unsigned long)pfn);
    }
    r->last_pfn = h.end_pfn;
    r->named = calloc(h.end_pfn / 64 + 1, sizeof *r->named);
    if (r->named != NULL)
        return 0;
    log_errno(r->xch, "Unable to allocate memory for the frames of the domain");
    return -1;
}

static int take_context(struct restore *r, const void *from)
{
    struct guest_context context;
    memcpy(&context, from, sizeof context);
    if (memcmp(context.magic, GUEST_CONTEXT_MAGIC, sizeof context.magic) != 0 ||
        context.nr_pages != r->memory.nr_pages || context.arch.reserved != 0)
        return restore_malformed(r, "Guest state is not that of a simxen guest of %lu pages",
                                 (unsigned long)r->memory.nr_pages);
    r->context = context;
    r->have_context = true;
    r->store_gfn = context.store_gfn;
    r->console_gfn = context.console_gfn;
    return 0;
}

static int check_vcpu(struct restore *r, const uint8_t *body, int kind, struct vcpu_header *h)
{
    memcpy(h, body, sizeof *h);
    if (h->vcpu_id >= MAX_VCPUS)
        return restore_malformed(r, "Vcpu %u outside of limits", h->vcpu_id);
    uint64_t *seen = &r->vcpus[kind][h->vcpu_id / 64], bit = UINT64_C(1) << h->vcpu_id % 64;
    if (*seen & bit)
        return restore_malformed(r, "A record of vcpu %u comes twice", h->vcpu_id);
    *seen |= bit;
    return no_reserved_bits(r, h->reserved != 0, "vcpu");
}

/* Xen 4.6 to 4.8 wrote such records without registers, too. */
static int apply_vcpu_basic(struct restore *r, const uint8_t *body, uint32_t length)
{
    struct vcpu_header h;
    if (check_vcpu(r, body, VCPU_BASIC, &h) != 0)
        return -1;
    return h.vcpu_id == 0 && length > sizeof h ? take_context(r, body + sizeof h) : 0;
}

static int apply_vcpu_extended(struct restore *r, const uint8_t *body, uint32_t length)
{
    struct vcpu_header h;
    (void)length;
    return check_vcpu(r, body, VCPU_EXTENDED, &h);
}

static int apply_vcpu_xsave(struct restore *r, const uint8_t *body, uint32_t length)
{
    struct vcpu_header h;
    if (length > sizeof h && length < sizeof h + PV_VCPU_XSAVE_MIN)
        return restore_malformed(r, "x86 PV vcpu xsave record of %u bytes", length);
    return check_vcpu(r, body, VCPU_XSAVE, &h);
}

static int apply_vcpu_msrs(struct restore *r, const uint8_t *body, uint32_t length)
{
    struct vcpu_header h;
    (void)length;
    return check_vcpu(r, body, VCPU_MSRS, &h);
}

static int apply_tsc_info(struct restore *r, const uint8_t *body, uint32_t length)
{
    struct tsc_info info;
    (void)length;
    memcpy(&info, body, sizeof info);
    return no_reserved_bits(r, info.reserved != 0, "TSC info");
}

/* Entries of {descriptor, blob} from HEADER to END; simxen's own must be among them. */
static int apply_hvm_context(struct restore *r, const uint8_t *body, uint32_t length)
{
    bool found = false;
    struct hvm_save_descriptor d;
    for (uint32_t at = 0, index = 0; length - at >= sizeof d; at += d.length, index++) {
        memcpy(&d, body + at, sizeof d);
        at += sizeof d;
        if (d.length > length - at || (d.typecode == HVM_SAVE_HEADER) != (index == 0))
            break;
        if (d.typecode == HVM_SAVE_END)
            return at == length && found ? 0 : restore_malformed(r, "HVM context ends wrongly");
        if (d.typecode != HVM_SAVE_SIMXEN)
            continue;
        if (d.length != sizeof(struct guest_context) || take_context(r, body + at) != 0)
            break;
        found = true;
    }
    return restore_malformed(r, "HVM context is malformed");
}

static int apply_hvm_params(struct restore *r, const uint8_t *body, uint32_t length)
{
    struct hvm_params_header h;
    struct hvm_param p;
    memcpy(&h, body, sizeof h);
    if (h.count > HVM_PARAMS_MAX || length != sizeof h + h.count * sizeof p)
        return restore_malformed(r, "HVM params record of %u bytes for %u entries", length, h.count);
    for (uint32_t i = 0; i < h.count; i++) {
        memcpy(&p, body + sizeof h + i * sizeof p, sizeof p);
        if (p.index >= HVM_PARAMS_MAX)
            return restore_malformed(r, "HVM param %lu unknown", (unsigned long)p.index);
        if (p.index == HVM_PARAM_STORE_PFN)
            r->store_gfn = p.value;
        if (p.index == HVM_PARAM_CONSOLE_PFN)
            r->console_gfn = p.value;
    }
    return no_reserved_bits(r, h.reserved != 0, "HVM params");
}

static int apply_verify(struct restore *r, const uint8_t *body, uint32_t length)
{
    (void)body, (void)length;
    log_at(r->xch, XTL_DETAIL, "Verify mode enabled");
    r->verifying = true;
    return 0;
}

/* ---- the table ---- */

#define INFO BIT(REC_PV_INFO)
#define PV_WHOLE (INFO | BIT(REC_PV_P2M_FRAMES) | BIT(REC_SHARED_INFO) | BIT(REC_PV_VCPU_BASIC))
#define HVM_WHOLE (BIT(REC_HVM_CONTEXT) | BIT(REC_HVM_PARAMS))
#define WHOLE (PV_WHOLE | HVM_WHOLE)
#define VCPU sizeof(struct vcpu_header)
#define TSC sizeof(struct tsc_info)
#define PARAMS sizeof(struct hvm_params_header)
#define PARAM sizeof(struct hvm_param)

static const struct record_rule RULES[] = {
    /* type, name, min, max, multiple, domain, stage, flags, after, apply */
    {REC_PV_INFO, "x86 PV info", 8, 8, 1, PV, STATIC, ONCE, 0, apply_pv_info},
    {REC_CPUID_POLICY, "CPUID policy", 24, CONTEXT_MAX, 24, BOTH, STATIC, ONCE, 0, apply_nothing},
    {REC_MSR_POLICY, "MSR policy", 16, CONTEXT_MAX, 16, BOTH, STATIC, ONCE, 0, apply_nothing},
    {REC_STATIC_DATA_END, "Static data end", 0, 0, 1, BOTH, STATIC, ONCE, INFO,
     apply_static_data_end},
    {REC_PV_P2M_FRAMES, "x86 PV P2M frames", 16, RECORD_MAX_LENGTH, 8, PV, MEMORY, ONCE, INFO,
     apply_p2m_frames},
    {REC_PAGE_DATA, "Page data", 16, RECORD_MAX_LENGTH, 8, BOTH, MEMORY, MANY,
     BIT(REC_PV_P2M_FRAMES), restore_apply_pages},
    {REC_VERIFY, "Verify", 0, 0, 1, BOTH, MEMORY, ONCE | PLAIN_ONLY, 0, apply_verify},
    {REC_TSC_INFO, "x86 TSC info", TSC, TSC, 1, BOTH, STATE, EACH, 0, apply_tsc_info},
    {REC_SHARED_INFO, "Shared info", SIMXEN_PAGE_SIZE, SIMXEN_PAGE_SIZE, 1, PV, STATE, EACH, INFO,
     apply_nothing},
    {REC_PV_VCPU_BASIC, "x86 PV vcpu basic", VCPU, VCPU + PV_VCPU_SIZE, PV_VCPU_SIZE, PV, STATE,
     MANY, INFO, apply_vcpu_basic},
    {REC_PV_VCPU_EXTENDED, "x86 PV vcpu extended", VCPU, VCPU + PV_VCPU_EXTENDED_MAX, 1, PV, STATE,
     MANY, INFO, apply_vcpu_extended},
    {REC_PV_VCPU_XSAVE, "x86 PV vcpu xsave", VCPU, CONTEXT_MAX, 1, PV, STATE, MANY, INFO,
     apply_vcpu_xsave},
    {REC_PV_VCPU_MSRS, "x86 PV vcpu msrs", VCPU, CONTEXT_MAX, 16, PV, STATE, MANY, INFO,
     apply_vcpu_msrs},
    {REC_HVM_CONTEXT, "HVM context", 1, CONTEXT_MAX, 1, HVM, STATE, EACH, 0, apply_hvm_context},
    {REC_HVM_PARAMS, "HVM params", PARAMS, CONTEXT_MAX, PARAM, HVM, STATE, EACH, 0,
     apply_hvm_params},
    {REC_CHECKPOINT, "Checkpoint", 0, 0, 1, BOTH, STATE, CHECKPOINTED_ONLY, WHOLE,
     apply_checkpoint},
    {REC_END, "End", 0, 0, 1, BOTH, STATE, ONCE, WHOLE, apply_end},
};

static const struct record_rule *find(uint32_t type)
{
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        if (RULES[i].type == type)
            return &RULES[i];
    }
    return NULL;
}

/* Records that must have come before, and did not. */
static uint32_t missing(const struct restore *r, const struct record_rule *rule)
{
    uint32_t state = BIT(REC_SHARED_INFO) | BIT(REC_PV_VCPU_BASIC) | HVM_WHOLE;
    uint32_t seen = (r->seen & ~state) | (r->seen_here & state);
    uint32_t after = rule->after & ~(r->memory.type == SIMXEN_HVM ? PV_WHOLE : HVM_WHOLE);
    return (after | (rule->stage > STATIC ? BIT(REC_STATIC_DATA_END) : 0)) & ~seen;
}

static const char *out_of_place(const struct restore *r, const struct record_rule *rule)
{
    bool plain = r->stream_type == XC_STREAM_PLAIN;
    if (rule->domain != BOTH && rule->domain != (int)r->memory.type)
        return "no such domain has it";
    if (rule->flags & (plain ? CHECKPOINTED_ONLY : PLAIN_ONLY))
        return "no such stream has it";
    if (rule->stage < r->stage)
        return "it comes too late";
    if (missing(r, rule) != 0)
        return "it comes too early";
    if ((rule->flags & ONCE ? r->seen : rule->flags & EACH ? r->seen_here : 0) & BIT(rule->type))
        return "it comes twice";
    return NULL;
}

const struct record_rule *restore_check(struct restore *r, const struct record_header *header)
{
    const struct record_rule *rule = find(header->type);
    uint32_t length = header->length;
    const char *reason = rule ? out_of_place(r, rule) : NULL;
    if (rule == NULL)
        restore_malformed(r, "Unknown mandatory record %#x", header->type);
    else if (length < rule->min || length > rule->max || (length - rule->min) % rule->multiple)
        restore_malformed(r, "%s record of %u bytes", rule->name, length);
    else if (reason != NULL)
        restore_malformed(r, "%s record out of place: %s", rule->name, reason);
    else {
        r->stage = rule->stage;
        r->seen |= BIT(rule->type);
        r->seen_here |= BIT(rule->type);
        return rule;
    }
    return NULL;
}

int restore_apply(struct restore *r, const struct record_rule *rule, const uint8_t *body,
                  uint32_t length)
{
    return rule->apply(r, body, length);
}
