/* Which record may come when, how long it may be, and what it does: one table. */
#include "lib_restore.h"

#include <errno.h>
#include <string.h>

#define BIT(type) (UINT32_C(1) << (type))
#define CONTEXT_MAX (1u << 20) /* of an HVM context; Xen's own are some KiB */

enum { BOTH = 0, PV = SIMXEN_PV, HVM = SIMXEN_HVM };
enum { MANY = 0, ONCE = 1, PLAIN_ONLY = 2, CHECKPOINTED_ONLY = 4 };

typedef int apply_fn(struct restore *r, const uint8_t *body, uint32_t length);

struct record_rule {
    enum record_type type;
    const char *name;
    uint32_t min, max, multiple; /* of the body's length; (length - min) % multiple == 0 */
    int domain;                  /* BOTH, PV or HVM */
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

static int apply_end(struct restore *r, const uint8_t *body, uint32_t length)
{
    (void)body, (void)length;
    r->ended = true;
    return 0;
}

static int apply_pages(struct restore *r, const uint8_t *body, uint32_t length)
{
    return body == NULL ? 0 : restore_apply_pages(r, body, length); /* NULL: received already */
}

static int apply_pv_info(struct restore *r, const uint8_t *body, uint32_t length)
{
    (void)length;
    if (body[0] == 8 && body[1] == 4)
        return 0;
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
    if (h.start_pfn > h.end_pfn || h.end_pfn >= r->memory.nr_pages)
        return restore_malformed(r, "P2M frames %#x to %#x outside the domain", h.start_pfn,
                                 h.end_pfn);
    uint64_t frames = h.end_pfn / P2M_PER_FRAME + 1 - h.start_pfn / P2M_PER_FRAME;
    if (length != sizeof h + frames * sizeof(uint64_t))
        return restore_malformed(r, "P2M frames record of %u bytes for %lu frames", length,
                                 (unsigned long)frames);
    for (uint64_t i = 0; i < frames; i++) {
        uint64_t pfn;
        memcpy(&pfn, body + sizeof h + i * sizeof pfn, sizeof pfn);
        if (pfn >= r->memory.nr_pages)
            return restore_malformed(r, "P2M frame %#lx outside the domain", (unsigned long)pfn);
    }
    return 0;
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

static int check_vcpu(struct restore *r, const uint8_t *body, struct vcpu_header *h)
{
    memcpy(h, body, sizeof *h);
    if (h->vcpu_id < MAX_VCPUS)
        return 0;
    return restore_malformed(r, "Vcpu %u outside of limits", h->vcpu_id);
}

static int apply_vcpu_basic(struct restore *r, const uint8_t *body, uint32_t length)
{
    struct vcpu_header h;
    (void)length;
    if (check_vcpu(r, body, &h) != 0)
        return -1;
    return h.vcpu_id == 0 ? take_context(r, body + sizeof h) : 0;
}

static int apply_vcpu_other(struct restore *r, const uint8_t *body, uint32_t length)
{
    struct vcpu_header h;
    (void)length;
    return check_vcpu(r, body, &h);
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
    return 0;
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
#define STATIC (INFO | BIT(REC_STATIC_DATA_END))
#define READY (STATIC | BIT(REC_PV_P2M_FRAMES)) /* memory and state may come */
#define VCPU sizeof(struct vcpu_header)

static const struct record_rule RULES[] = {
    /* type, name, min, max, multiple, domain, flags, after, apply */
    {REC_END, "End", 0, 0, 1, BOTH, ONCE, READY, apply_end},
    {REC_PAGE_DATA, "Page data", 16, RECORD_MAX_LENGTH, 8, BOTH, MANY, READY, apply_pages},
    {REC_PV_INFO, "x86 PV info", 8, 8, 1, PV, ONCE, 0, apply_pv_info},
    {REC_PV_P2M_FRAMES, "x86 PV P2M frames", 16, RECORD_MAX_LENGTH, 8, PV, ONCE, STATIC,
     apply_p2m_frames},
    {REC_PV_VCPU_BASIC, "x86 PV vcpu basic", VCPU + PV_VCPU_SIZE, VCPU + PV_VCPU_SIZE, 1, PV, MANY,
     READY, apply_vcpu_basic},
    {REC_PV_VCPU_EXTENDED, "x86 PV vcpu extended", VCPU, VCPU + PV_VCPU_EXTENDED_MAX, 1, PV, MANY,
     READY, apply_vcpu_other},
    {REC_PV_VCPU_XSAVE, "x86 PV vcpu xsave", VCPU + 16, CONTEXT_MAX, 1, PV, MANY, READY,
     apply_vcpu_other},
    {REC_PV_VCPU_MSRS, "x86 PV vcpu msrs", VCPU, CONTEXT_MAX, 16, PV, MANY, READY,
     apply_vcpu_other},
    {REC_SHARED_INFO, "Shared info", SIMXEN_PAGE_SIZE, SIMXEN_PAGE_SIZE, 1, PV, MANY, READY,
     apply_nothing},
    {REC_TSC_INFO, "x86 TSC info", sizeof(struct tsc_info), sizeof(struct tsc_info), 1, BOTH, MANY,
     STATIC, apply_nothing},
    {REC_HVM_CONTEXT, "HVM context", 1, CONTEXT_MAX, 1, HVM, MANY, READY, apply_hvm_context},
    {REC_HVM_PARAMS, "HVM params", sizeof(struct hvm_params_header), CONTEXT_MAX,
     sizeof(struct hvm_param), HVM, MANY, READY, apply_hvm_params},
    {REC_VERIFY, "Verify", 0, 0, 1, BOTH, ONCE | PLAIN_ONLY, READY, apply_verify},
    {REC_CHECKPOINT, "Checkpoint", 0, 0, 1, BOTH, CHECKPOINTED_ONLY, READY, apply_nothing},
    {REC_STATIC_DATA_END, "Static data end", 0, 0, 1, BOTH, ONCE, INFO, apply_static_data_end},
    {REC_CPUID_POLICY, "CPUID policy", 24, CONTEXT_MAX, 24, BOTH, ONCE, INFO, apply_nothing},
    {REC_MSR_POLICY, "MSR policy", 0, CONTEXT_MAX, 16, BOTH, ONCE, INFO, apply_nothing},
};

static const struct record_rule *find(uint32_t type)
{
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        if (RULES[i].type == type)
            return &RULES[i];
    }
    return NULL;
}

static bool wrong_place(const struct restore *r, const struct record_rule *rule)
{
    uint32_t after = rule->after, pv_only = BIT(REC_PV_INFO) | BIT(REC_PV_P2M_FRAMES);
    bool plain = r->stream_type == XC_STREAM_PLAIN;
    if (r->memory.type == SIMXEN_HVM)
        after &= ~pv_only;
    return (rule->domain != BOTH && rule->domain != (int)r->memory.type) ||
           ((rule->flags & ONCE) && (r->seen & BIT(rule->type))) ||
           ((rule->flags & PLAIN_ONLY) && !plain) || ((rule->flags & CHECKPOINTED_ONLY) && plain) ||
           (r->seen & after) != after;
}

const struct record_rule *restore_check(struct restore *r, const struct record_header *header)
{
    const struct record_rule *rule = find(header->type);
    uint32_t length = header->length;
    if (rule == NULL)
        restore_malformed(r, "Unknown mandatory record %#x", header->type);
    else if (length < rule->min || length > rule->max || (length - rule->min) % rule->multiple)
        restore_malformed(r, "%s record of %u bytes", rule->name, length);
    else if (wrong_place(r, rule))
        restore_malformed(r, "%s record out of place", rule->name);
    else
        return rule;
    return NULL;
}

int restore_apply(struct restore *r, const struct record_rule *rule,
                  const struct record_header *header, const uint8_t *body)
{
    r->seen |= BIT(rule->type);
    return rule->apply(r, body, header->length);
}
