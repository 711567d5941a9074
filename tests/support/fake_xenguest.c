/*
 * A libxenguest that does what a script says, to see the helper with one that
 * misbehaves.  The simxen "host" is a directory with two files:
 *
 *   script   one step a line, done in order by xc_domain_save and _restore
 *   domains  "domid flags" a line: the domains there are, read at each look
 *
 * and every hypercall is appended to a third, `calls`, as "name arguments". A
 * fourth, `refused`, has the errno of the ones that turn log-dirty mode off.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "xen_abi.h"

#define API __attribute__((visibility("default")))

struct xc_interface_core {
    xentoollog_logger *logger;
};

static char host[3000];

API int simxen_set_host(const char *directory);
API xc_interface_open_fn xc_interface_open;
API xc_interface_close_fn xc_interface_close;
API xc_domain_save_fn xc_domain_save;
API xc_domain_getinfolist_fn xc_domain_getinfolist;
API xc_physinfo_fn xc_physinfo;
API xc_availheap_fn xc_availheap;
API xc_version_fn xc_version;
API xc_domain_claim_pages_fn xc_domain_claim_pages;
API xc_hvm_param_get_fn xc_hvm_param_get;
API xc_domain_pause_fn xc_domain_pause;
API xc_domain_unpause_fn xc_domain_unpause;
API xc_domain_shutdown_fn xc_domain_shutdown;
API xc_domain_resume_fn xc_domain_resume;
API xc_domain_destroy_fn xc_domain_destroy;
#ifdef FAKE_4_14 /* one function for everything about paging */
API xc_shadow_control_4_14_fn xc_shadow_control;
#else
API xc_logdirty_control_fn xc_logdirty_control;
#endif
#ifdef FAKE_4_22
API xc_domain_restore_4_22_fn xc_domain_restore;
#else
API xc_domain_restore_4_14_fn xc_domain_restore;
#endif

/* ---- files ---- */

static FILE *open_file(const char *name, const char *mode)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", host, name);
    return fopen(path, mode);
}

static int record(const char *name, uint32_t domid, long argument)
{
    FILE *file = open_file("calls", "a");

    if (file) {
        fprintf(file, "%s %u %ld\n", name, domid, argument);
        fclose(file);
    }
    return 0;
}

/* ---- handles ---- */

int simxen_set_host(const char *directory)
{
    snprintf(host, sizeof(host), "%s", directory);
    return 0;
}

static void say(xc_interface *xch, int level, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    xch->logger->vmessage(xch->logger, (xentoollog_level)level, -1, "fake", format,
                          arguments);
    va_end(arguments);
}

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild,
                                unsigned flags)
{
    xc_interface *xch;
    FILE *file = open_file("domains", "r");

    (void)dombuild;
    (void)flags;
    if (!file)
        return NULL; /* errno of fopen */
    fclose(file);
    xch = malloc(sizeof(*xch));
    xch->logger = logger;
    say(xch, XTL_DEBUG, "opened");
    return xch;
}

int xc_interface_close(xc_interface *xch)
{
    free(xch);
    return 0;
}

/* ---- domains ---- */

int xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned int max,
                          xc_domaininfo_t *info)
{
    unsigned domid, flags;
    int found = 0;
    FILE *file = open_file("domains", "r");

    (void)xch;
    (void)max;
    while (file && !found && fscanf(file, "%u %u", &domid, &flags) == 2)
        if (domid >= first) {
            memset(info, 0, sizeof(*info));
            info->domain = (uint16_t)domid;
            info->flags = flags;
            info->tot_pages = 1000 + domid;
            info->max_pages = 2000 + domid;
            info->outstanding_pages = 10 + domid;
            info->cpu_time = UINT64_MAX;
            info->nr_online_vcpus = 3;
            memset(info->handle, (int)domid, sizeof(info->handle));
            found = 1;
        }
    if (file)
        fclose(file);
    return found;
}

int xc_availheap(xc_interface *xch, int min_width, int max_width, int node, uint64_t *bytes)
{
    (void)xch;
    *bytes = min_width || max_width || node != -1 ? 0 : UINT64_C(5) << 32 | 4095;
    return 0;
}

int xc_version(xc_interface *xch, int cmd, void *arg)
{
    (void)xch;
    if (cmd != 9)
        return -1;
    strcpy(arg, "console=vga dom0_mem=2G,max:2G");
    return 0;
}

int xc_domain_claim_pages(xc_interface *xch, uint32_t domid, unsigned long nr_pages)
{
    (void)xch;
    record("claim", domid, (long)nr_pages);
    errno = nr_pages == 1234 ? EINVAL : ENOMEM;
    return nr_pages == 1234 || nr_pages > 2000 ? -1 : 0;
}

int xc_hvm_param_get(xc_interface *xch, uint32_t domid, uint32_t param, uint64_t *value)
{
    (void)xch;
    *value = domid * 1000 + param;
    return 0;
}

int xc_domain_pause(xc_interface *xch, uint32_t domid)
{
    (void)xch;
    return record("pause", domid, 0);
}

int xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
    (void)xch;
    return record("unpause", domid, 0);
}

int xc_physinfo(xc_interface *xch, xc_physinfo_t *info)
{
    (void)xch;
    *info = (xc_physinfo_t){ .nr_cpus = 3, .capabilities = 0x12 };
    return 0;
}

int xc_domain_shutdown(xc_interface *xch, uint32_t domid, int reason)
{
    (void)xch;
    return record("shutdown", domid, reason);
}

int xc_domain_resume(xc_interface *xch, uint32_t domid, int fast)
{
    (void)xch;
    return record("resume", domid, fast);
}

int xc_domain_destroy(xc_interface *xch, uint32_t domid)
{
    (void)xch;
    record("destroy", domid, 0);
    errno = EPERM;
    return -1;
}

static int shadow_op(uint32_t domid, unsigned int sop)
{
    FILE *file = open_file("refused", "r");
    int error = 0;

    record("shadow_op", domid, sop);
    if (!file)
        return 0;
    if (fscanf(file, "%d", &error) != 1)
        abort();
    fclose(file);
    errno = error;
    return -1;
}

static uint32_t peeks;

#ifdef FAKE_4_14
int xc_shadow_control(xc_interface *xch, uint32_t domid, unsigned int sop,
                      xc_hypercall_buffer_t *dirty_bitmap, unsigned long pages,
                      unsigned long *mb, uint32_t mode, xc_shadow_op_stats_t *stats)
{
    if (dirty_bitmap || pages || mb || mode || !stats != (sop != 12))
        abort();
    (void)xch;
    if (stats)
        stats->dirty_count = 500 * ++peeks;
    return shadow_op(domid, sop);
}
#else
long long xc_logdirty_control(xc_interface *xch, uint32_t domid, unsigned int sop,
                              xc_hypercall_buffer_t *dirty_bitmap, unsigned long pages,
                              unsigned int mode, xc_shadow_op_stats_t *stats)
{
    if (dirty_bitmap || pages || mode || !stats != (sop != 12))
        abort();
    (void)xch;
    if (stats)
        stats->dirty_count = 500 * ++peeks;
    return shadow_op(domid, sop);
}
#endif

/* ---- steps ---- */

struct run {
    xc_interface *xch;
    int fd;
    struct save_callbacks *save;       /* one of */
    struct restore_callbacks *restore; /* these two */
};

/* As libxc's: only an error that is not EINTR ends it. */
static int write_exact(int fd, long size)
{
    static const char data[65536];
    ssize_t done;

    for (; size > 0; size -= done) {
        done = write(fd, data, size < 65536 ? (size_t)size : 65536);
        if (done < 0 && errno != EINTR)
            return -1;
        if (done < 0)
            done = 0;
    }
    return 0;
}

static int read_exact(int fd, long size)
{
    char data[65536];
    ssize_t done;

    for (; size > 0; size -= done) {
        done = read(fd, data, size < 65536 ? (size_t)size : 65536);
        if (done == 0)
            errno = 0;
        if (done == 0 || (done < 0 && errno != EINTR))
            return -1;
        if (done < 0)
            done = 0;
    }
    return 0;
}

static int call_save(struct run *run, const char *name)
{
    struct save_callbacks *cb = run->save;
#ifdef FAKE_4_14
    struct precopy_stats_4_14 stats = { 0x1234, 0x89abcdef, -1 };
    precopy_policy_4_14_fn *policy;
#else
    struct precopy_stats stats = { 0x1234, 0x123456789abcdef, -1 };
    int (*policy)(struct precopy_stats, void *);
#endif

    memcpy(&policy, &cb->precopy_policy, sizeof(policy));
    if (!strcmp(name, "suspend"))
        return cb->suspend(cb->data);
    if (!strcmp(name, "policy"))
        return policy ? policy(stats, cb->data) : 77;
    if (!strcmp(name, "postcopy"))
        return cb->postcopy(cb->data);
    if (!strcmp(name, "checkpoint"))
        return cb->checkpoint(cb->data);
    if (!strcmp(name, "wait"))
        return cb->wait_checkpoint(cb->data);
    if (!strcmp(name, "logdirty-on"))
        return cb->switch_qemu_logdirty(7, 1, cb->data);
    return cb->switch_qemu_logdirty(7, 0, cb->data);
}

static int call_restore(struct run *run, const char *name)
{
    struct restore_callbacks *cb = run->restore;

    if (!strcmp(name, "static"))
        return cb->static_data_done ? cb->static_data_done(3, cb->data) : 77;
    return cb->checkpoint(cb->data);
}

static void log_odd(xc_interface *xch)
{
    static char longest[40000];

    memset(longest, 'x', sizeof(longest) - 1);
    say(xch, XTL_ERROR, "%s", longest);
    say(xch, XTL_ERROR, "%d%% of %s %lu %5.2f %c", -5, "odd \xff\xfe bytes", ~0ul, 1.5,
        'c');
    say(xch, XTL_ERROR, "%s", "");
    xch->logger->progress(xch->logger, NULL, "odd \xff", 0, 1, ~0ul);
}

static int step(struct run *run, const char *name, long number)
{
    int answer;

    if (!strcmp(name, "write"))
        return write_exact(run->fd, number);
    if (!strcmp(name, "read"))
        return read_exact(run->fd, number);
    if (!strcmp(name, "read-end")) /* as a restore with checkpoints does */
        return read_exact(run->fd, number) && errno == 0 ? 0 : -1;
    if (!strcmp(name, "logs"))
        for (long i = 0; i < number; i++)
            say(run->xch, XTL_DETAIL, "line %ld", i);
    else if (!strcmp(name, "odd"))
        log_odd(run->xch);
    else if (!strcmp(name, "noise"))
        for (long i = 0; i < number; i++)
            printf("noise noise noise\n"), fflush(stdout);
    else if (!strcmp(name, "frames"))
        run->xch->logger->progress(run->xch->logger, "xc", "Frames iteration 1", 50,
                                   (unsigned long)number, 1000);
    else if (!strcmp(name, "hang")) /* not even a signal ends it */
        for (;;)
            pause();
    else if (!strcmp(name, "crash"))
        raise(SIGSEGV);
    else if (!strcmp(name, "fail")) {
        errno = (int)number;
        return -1;
    } else {
        answer = run->save ? call_save(run, name) : call_restore(run, name);
        say(run->xch, XTL_INFO, "%s=%d", name, answer);
    }
    return 0;
}

static int play(struct run *run)
{
    char name[64];
    long number;
    int rc = 0;
    FILE *file = open_file("script", "r");

    if (!file)
        return -1;
    while (!rc && fscanf(file, "%63s %ld", name, &number) == 2)
        rc = step(run, name, number);
    /* A failed step: what follows "cleanup" is done all the same, as libxc does. */
    int saved = errno;
    int cleaning = 0;
    while (rc && fscanf(file, "%63s %ld", name, &number) == 2) {
        if (cleaning)
            step(run, name, number);
        cleaning |= !strcmp(name, "cleanup");
    }
    fclose(file);
    errno = saved;
    return rc;
}

int xc_domain_save(xc_interface *xch, int io_fd, uint32_t dom, uint32_t flags,
                   struct save_callbacks *callbacks, xc_stream_type_t stream_type,
                   int recv_fd)
{
    struct run run = { xch, io_fd, callbacks, NULL };

    say(xch, XTL_INFO, "save dom=%u flags=%u type=%d recv=%d", dom, flags,
        (int)stream_type, recv_fd);
    return play(&run);
}

static int restore_any(xc_interface *xch, int io_fd, uint32_t dom,
                       unsigned store_evtchn, unsigned long *store_mfn,
                       uint32_t store_domid, unsigned console_evtchn,
                       unsigned long *console_mfn, uint32_t console_domid,
                       struct restore_callbacks *callbacks)
{
    struct run run = { xch, io_fd, NULL, callbacks };

    say(xch, XTL_INFO, "restore dom=%u store=%u/%u console=%u/%u", dom, store_evtchn,
        store_domid, console_evtchn, console_domid);
    *store_mfn = 0x11;
    *console_mfn = 0x22;
    return play(&run);
}

#ifdef FAKE_4_22
int xc_domain_restore(xc_interface *xch, int io_fd, uint32_t dom,
                      unsigned int store_evtchn, unsigned long *store_mfn,
                      uint32_t store_domid, unsigned int console_evtchn,
                      unsigned long *console_mfn, uint32_t console_domid,
                      xc_stream_type_t stream_type, struct restore_callbacks *callbacks,
                      int send_back_fd, unsigned int memflags)
{
    (void)stream_type;
    (void)send_back_fd;
    record("memflags", dom, memflags);
    return restore_any(xch, io_fd, dom, store_evtchn, store_mfn, store_domid,
                       console_evtchn, console_mfn, console_domid, callbacks);
}
#else
int xc_domain_restore(xc_interface *xch, int io_fd, uint32_t dom,
                      unsigned int store_evtchn, unsigned long *store_mfn,
                      uint32_t store_domid, unsigned int console_evtchn,
                      unsigned long *console_mfn, uint32_t console_domid,
                      xc_stream_type_t stream_type, struct restore_callbacks *callbacks,
                      int send_back_fd)
{
    (void)stream_type;
    (void)send_back_fd;
    return restore_any(xch, io_fd, dom, store_evtchn, store_mfn, store_domid,
                       console_evtchn, console_mfn, console_domid, callbacks);
}
#endif
