#define _GNU_SOURCE
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "symbols.h"

/* ---- loading ---- */

static int fail(char error[SHIM_ERROR_MAX], const char *what, const char *why)
{
    snprintf(error, SHIM_ERROR_MAX, "%s: %s", what, why ? why : "unknown error");
    return -1;
}

/* Log-dirty control moved from xc_shadow_control to a function of its own in 4.16;
 * xc_shadow_control stayed, with other parameters: so the new name goes first. */
static int find_logdirty(struct shim_library *library)
{
    struct symbol now = { "xc_logdirty_control", &library->logdirty_control };
    struct symbol before = { "xc_shadow_control", &library->shadow_control_4_14 };

    if (!find_symbols(library->handle, &now, 1))
        return 0;
    return find_symbols(library->handle, &before, 1) ? -1 : 0;
}

static int find_all(struct shim_library *library, char error[SHIM_ERROR_MAX])
{
    void *restore = library->abi == SHIM_ABI_4_22
                        ? (void *)&library->domain_restore_4_22
                        : (void *)&library->domain_restore_4_14;
    const struct symbol symbols[] = {
        { "xc_interface_open", &library->interface_open },
        { "xc_interface_close", &library->interface_close },
        { "xc_domain_save", &library->domain_save },
        { "xc_domain_restore", restore },
        { "xc_domain_getinfolist", &library->domain_getinfolist },
        { "xc_physinfo", &library->physinfo },
        { "xc_availheap", &library->availheap },
        { "xc_version", &library->version },
        { "xc_domain_claim_pages", &library->domain_claim_pages },
        { "xc_hvm_param_get", &library->hvm_param_get },
        { "xc_domain_pause", &library->domain_pause },
        { "xc_domain_unpause", &library->domain_unpause },
        { "xc_domain_shutdown", &library->domain_shutdown },
        { "xc_domain_resume", &library->domain_resume },
        { "xc_domain_destroy", &library->domain_destroy },
    };
    const char *missing = find_symbols(library->handle, symbols,
                                       sizeof(symbols) / sizeof(symbols[0]));

    if (missing)
        return fail(error, "function not found", missing);
    if (find_logdirty(library))
        return fail(error, "function not found", "xc_logdirty_control");
    return 0;
}

int shim_load(struct shim_library *library, const char *name, int abi,
              char error[SHIM_ERROR_MAX])
{
    memset(library, 0, sizeof(*library));
    library->abi = abi;
    /* libxenctrl's functions are found through libxenguest's dependency on it, so
     * the two can't be of different releases. */
    library->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library->handle)
        return fail(error, "cannot load", dlerror());
    return find_all(library, error);
}

int shim_can_load(const char *name)
{
    void *handle = dlopen(name, RTLD_LAZY | RTLD_LOCAL);

    if (!handle)
        return 0;
    dlclose(handle);
    return 1;
}

int shim_set_simxen_host(struct shim_library *library, const char *directory)
{
    int (*set_host)(const char *);
    struct symbol symbol = { "simxen_set_host", &set_host };

    if (find_symbols(library->handle, &symbol, 1)) {
        errno = ENOSYS;
        return -1;
    }
    return set_host(directory);
}

uint64_t shim_spliced(const struct shim_library *library)
{
    uint64_t (*spliced)(void);
    struct symbol symbol = { "simxen_spliced", &spliced };

    return find_symbols(library->handle, &symbol, 1) ? 0 : spliced();
}

/* ---- logging ---- */

static struct shim_sink sink;

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static void log_vmessage(struct xentoollog_logger *logger, xentoollog_level level,
                         int errnoval, const char *context, const char *format,
                         va_list arguments)
{
    int saved_errno = errno; /* callers report errno after they logged */
    char text[SHIM_TEXT_MAX];

    (void)logger;
    if (vsnprintf(text, sizeof(text), or_empty(format), arguments) < 0)
        snprintf(text, sizeof(text), "(message could not be formatted)");
    if (sink.log)
        sink.log((int)level, errnoval, or_empty(context), text);
    errno = saved_errno;
}

static void log_progress(struct xentoollog_logger *logger, const char *context,
                         const char *doing_what, int percent, unsigned long done,
                         unsigned long total)
{
    int saved_errno = errno;

    (void)logger;
    (void)percent; /* done and total say more */
    if (sink.progress)
        sink.progress(or_empty(context), or_empty(doing_what), done, total);
    errno = saved_errno;
}

static void log_destroy(struct xentoollog_logger *logger)
{
    (void)logger; /* static: lives as long as the process */
}

static struct xentoollog_logger logger_instance = {
    .vmessage = log_vmessage,
    .progress = log_progress,
    .destroy = log_destroy,
};

void shim_set_sink(const struct shim_sink *new_sink)
{
    sink = *new_sink;
}

xentoollog_logger *shim_logger(void)
{
    return &logger_instance;
}

/* ---- calls ---- */

xc_interface *shim_interface_open(const struct shim_library *library)
{
    return library->interface_open(&logger_instance, &logger_instance, 0);
}

int shim_interface_close(const struct shim_library *library, xc_interface *xch)
{
    return library->interface_close(xch);
}

/* Xen 4.14 hands over another struct: its callback is ours, and passes it on.  One
 * save a process, so one target. */
static int (*policy_target)(struct precopy_stats stats, void *data);

static int policy_4_14(struct precopy_stats_4_14 old, void *data)
{
    struct precopy_stats stats = { old.iteration, old.total_written, old.dirty_count };

    return policy_target(stats, data);
}

static struct save_callbacks adapted(const struct save_callbacks *callbacks)
{
    precopy_policy_4_14_fn *adapter = policy_4_14;
    struct save_callbacks copy = *callbacks;

    policy_target = copy.precopy_policy;
    if (policy_target)
        memcpy(&copy.precopy_policy, &adapter, sizeof(adapter));
    return copy;
}

int shim_domain_save(const struct shim_library *library, xc_interface *xch, int io_fd,
                     uint32_t domid, uint32_t flags, struct save_callbacks *callbacks,
                     int stream_type, int recv_fd)
{
    struct save_callbacks copy;

    if (library->abi == SHIM_ABI_4_14) {
        copy = adapted(callbacks);
        callbacks = &copy;
    }
    return library->domain_save(xch, io_fd, domid, flags, callbacks,
                                (xc_stream_type_t)stream_type, recv_fd);
}

int shim_domain_restore(const struct shim_library *library, xc_interface *xch,
                        const struct shim_restore_arguments *a,
                        struct restore_callbacks *callbacks, unsigned long *store_gfn,
                        unsigned long *console_gfn)
{
    xc_stream_type_t stream_type = (xc_stream_type_t)a->stream_type;

    if (library->abi == SHIM_ABI_4_22)
        return library->domain_restore_4_22(
            xch, a->io_fd, a->domid, a->store_evtchn, store_gfn, a->store_domid,
            a->console_evtchn, console_gfn, a->console_domid, stream_type, callbacks,
            a->send_back_fd, 0);
    return library->domain_restore_4_14(
        xch, a->io_fd, a->domid, a->store_evtchn, store_gfn, a->store_domid,
        a->console_evtchn, console_gfn, a->console_domid, stream_type, callbacks,
        a->send_back_fd);
}

int shim_domain_info(const struct shim_library *library, xc_interface *xch,
                     uint32_t first, struct xen_domctl_getdomaininfo *info)
{
    /* Xen's struct is longer than the part of it that is ours, and grows. */
    union {
        struct xen_domctl_getdomaininfo front;
        unsigned char whole[1024];
    } buffer;
    int found;

    memset(&buffer, 0, sizeof(buffer));
    found = library->domain_getinfolist(xch, first, 1, &buffer.front);
    *info = buffer.front;
    return found;
}

int shim_capabilities(const struct shim_library *library, xc_interface *xch,
                      uint32_t *capabilities)
{
    union {
        struct xen_sysctl_physinfo front;
        unsigned char whole[1024];
    } buffer;
    int rc;

    memset(&buffer, 0, sizeof(buffer));
    rc = library->physinfo(xch, &buffer.front);
    *capabilities = buffer.front.capabilities;
    return rc;
}

int shim_free_memory(const struct shim_library *library, xc_interface *xch,
                     uint64_t *bytes)
{
    return library->availheap(xch, 0, 0, -1, bytes); /* of any width, on all nodes */
}

int shim_command_line(const struct shim_library *library, xc_interface *xch,
                      char text[SHIM_COMMAND_LINE_MAX])
{
    memset(text, 0, SHIM_COMMAND_LINE_MAX); /* Xen fills all of it, but for the last */
    return library->version(xch, 9 /* XENVER_commandline */, text);
}

int shim_domain_claim(const struct shim_library *library, xc_interface *xch,
                      uint32_t domid, unsigned long pages)
{
    return library->domain_claim_pages(xch, domid, pages);
}

int shim_hvm_param(const struct shim_library *library, xc_interface *xch, uint32_t domid,
                   uint32_t param, uint64_t *value)
{
    return library->hvm_param_get(xch, domid, param, value);
}

int shim_domain_pause(const struct shim_library *library, xc_interface *xch,
                      uint32_t domid)
{
    return library->domain_pause(xch, domid);
}

int shim_domain_unpause(const struct shim_library *library, xc_interface *xch,
                        uint32_t domid)
{
    return library->domain_unpause(xch, domid);
}

int shim_domain_shutdown(const struct shim_library *library, xc_interface *xch,
                         uint32_t domid, int reason)
{
    return library->domain_shutdown(xch, domid, reason);
}

int shim_domain_resume(const struct shim_library *library, xc_interface *xch,
                       uint32_t domid, int fast)
{
    return library->domain_resume(xch, domid, fast);
}

int shim_domain_destroy(const struct shim_library *library, xc_interface *xch,
                        uint32_t domid)
{
    return library->domain_destroy(xch, domid);
}

static int logdirty(const struct shim_library *library, xc_interface *xch, uint32_t domid,
                    unsigned int op, xc_shadow_op_stats_t *stats)
{
    long long rc;

    if (library->logdirty_control)
        rc = library->logdirty_control(xch, domid, op, NULL, 0, 0, stats);
    else
        rc = library->shadow_control_4_14(xch, domid, op, NULL, 0, NULL, 0, stats);
    return rc < 0 ? -1 : 0;
}

int shim_logdirty_on(const struct shim_library *library, xc_interface *xch,
                     uint32_t domid)
{
    return logdirty(library, xch, domid, 2 /* XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY */,
                    NULL);
}

/* Without a bitmap only the statistics are told. */
int shim_dirty_count(const struct shim_library *library, xc_interface *xch,
                     uint32_t domid, uint32_t *pages)
{
    xc_shadow_op_stats_t stats = { 0 };
    int rc = logdirty(library, xch, domid, 12 /* XEN_DOMCTL_SHADOW_OP_PEEK */, &stats);

    *pages = stats.dirty_count;
    return rc;
}

int shim_logdirty_off(const struct shim_library *library, xc_interface *xch,
                      uint32_t domid)
{
    return logdirty(library, xch, domid, 0 /* XEN_DOMCTL_SHADOW_OP_OFF */, NULL);
}

/* ---- process ---- */

int shim_harden(int parent_death_signal)
{
    if (prctl(PR_SET_PDEATHSIG, parent_death_signal, 0, 0, 0))
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    /* A core would hold the guest's memory. */
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* Both outlive execve, as PR_SET_DUMPABLE does not. A core that is piped to a program
 * obeys no limit, but has in it only what the filter lets pass; some kernels have none. */
int shim_no_core(void)
{
    static const struct rlimit none = {0, 0};
    FILE *filter;

    filter = fopen("/proc/self/coredump_filter", "we");
    if (filter) {
        fputs("0", filter);
        fclose(filter);
    }
    return setrlimit(RLIMIT_CORE, &none);
}

/* ---- abort ---- */

static void do_nothing(int signal_number)
{
    (void)signal_number;
}

static int install_kick(int kick_signal)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = do_nothing;
    sigemptyset(&action.sa_mask);
    action.sa_flags = 0; /* no SA_RESTART: a blocked call must return EINTR */
    return sigaction(kick_signal, &action, NULL);
}

static int block_all_but(int kick_signal)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE,
                                  SIGILL,  SIGABRT, SIGTRAP, SIGSYS };
    sigset_t blocked;
    int error;

    sigfillset(&blocked);
    sigdelset(&blocked, kick_signal);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&blocked, faults[i]);
    error = pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    if (error)
        errno = error;
    return error ? -1 : 0;
}

int shim_take_signals(int kick_signal)
{
    sigset_t ends;

    if (install_kick(kick_signal) || block_all_but(kick_signal))
        return -1;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGHUP);
    sigaddset(&ends, SIGUSR2); /* the one that ends nothing: stop and copy */
    return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}
