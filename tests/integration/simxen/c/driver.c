/* Calls libsimxen as the helper does; built with its sources, so that sanitizers see both.
 *
 *   driver HOST_DIR save DOMID FD FLAGS STREAM_TYPE
 *   driver HOST_DIR restore DOMID FD FLAGS STREAM_TYPE
 *   driver HOST_DIR list
 *   driver HOST_DIR dirty-sets DOMID ROUNDS    (shadow.c)
 *   driver HOST_DIR dirty-race DOMID ROUNDS    (shadow.c)
 *   driver HOST_DIR watch DOMID                (shadow.c)
 *
 * One line on standard output for each thing the library says or asks:
 *   log LEVEL TEXT | progress DONE TOTAL TEXT | call NAME ARGUMENTS | end RETVAL ERRNO STORE CONSOLE
 * A call is answered by one line with a number on standard input; "shutdown" instead of a number
 * makes the driver shut the domain down itself (reason suspend) and return 1. */
#include "driver.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static xc_interface *xch;
static uint32_t domid;

/* ---- logger ---- */

static void on_message(struct xentoollog_logger *logger, xentoollog_level level, int errnoval,
                       const char *context, const char *format, va_list al)
{
    (void)logger, (void)errnoval, (void)context;
    printf("log %d ", (int)level);
    vprintf(format, al);
    putchar('\n');
    fflush(stdout);
}

static void on_progress(struct xentoollog_logger *logger, const char *context, const char *doing,
                        int percent, unsigned long done, unsigned long total)
{
    (void)logger, (void)context, (void)percent;
    printf("progress %lu %lu %s\n", done, total, doing);
    fflush(stdout);
}

static struct xentoollog_logger logger = {.vmessage = on_message, .progress = on_progress};

/* ---- callbacks ---- */

static int answer(void)
{
    char line[64];
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        return 0;
    if (strcmp(line, "shutdown\n") != 0)
        return (int)strtol(line, NULL, 10);
    return xc_domain_shutdown(xch, domid, SHUTDOWN_SUSPEND) == 0;
}

static int call(const char *name)
{
    printf("call %s\n", name);
    return answer();
}

static int on_suspend(void *data) { (void)data; return call("suspend"); }
static int on_postcopy(void *data) { (void)data; return call("postcopy"); }
static int on_checkpoint(void *data) { (void)data; return call("checkpoint"); }

static int on_policy(struct precopy_stats stats, void *data)
{
    (void)data;
    printf("call policy %u %lu %ld\n", stats.iteration, stats.total_written, stats.dirty_count);
    return answer();
}

static int on_logdirty(uint32_t id, unsigned enable, void *data)
{
    (void)data;
    printf("call logdirty %u %u\n", id, enable);
    return answer();
}

static int on_static_data(unsigned missing, void *data)
{
    (void)data;
    printf("call static_data_done %u\n", missing);
    return answer();
}

static int end(int rc, unsigned long store, unsigned long console)
{
    printf("end %d %d %lu %lu\n", rc, rc ? errno : 0, store, console);
    return 0;
}

/* ---- commands ---- */

static int do_save(char **argv, int flags, bool policy)
{
    struct save_callbacks callbacks = {.suspend = on_suspend,
                                       .precopy_policy = policy ? on_policy : NULL,
                                       .postcopy = on_postcopy,
                                       .checkpoint = on_checkpoint,
                                       .switch_qemu_logdirty = on_logdirty};
    int rc = xc_domain_save(xch, atoi(argv[4]), domid, (uint32_t)flags, &callbacks,
                            (xc_stream_type_t)atoi(argv[6]), -1);
    return end(rc, 0, 0);
}

static int do_restore(char **argv)
{
    struct restore_callbacks callbacks = {.static_data_done = on_static_data,
                                          .checkpoint = on_checkpoint};
    unsigned long store = 0, console = 0;
    int rc = xc_domain_restore(xch, atoi(argv[4]), domid, 5, &store, 0, 6, &console, 0,
                               (xc_stream_type_t)atoi(argv[6]), &callbacks, -1);
    return end(rc, store, console);
}

static int do_list(void)
{
    union full_domaininfo info[8];
    int count = xc_domain_getinfolist(xch, 0, 8, &info[0].front);
    for (int i = 0; i < count; i++)
        printf("domain %u %#x %lu\n", info[i].front.domain, info[i].front.flags,
               (unsigned long)info[i].front.tot_pages);
    return end(count, 0, 0);
}

/* Beside Xen's FLAGS: ask for each precopy decision; interrupt system calls all the time. */
#define WITH_POLICY 0x100
#define WITH_ALARMS 0x200

static void on_alarm(int number)
{
    (void)number;
}

/* Without SA_RESTART, so that each alarm ends a blocked system call with EINTR. */
static void start_alarms(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval often = {.it_interval.tv_usec = 500, .it_value.tv_usec = 500};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

int main(int argc, char **argv)
{
    if (argc < 3 || simxen_set_host(argv[1]) != 0)
        return 2;
    signal(SIGPIPE, SIG_IGN); /* as every caller of libxc has to */
    xch = xc_interface_open(&logger, NULL, 0);
    if (xch == NULL)
        return end(-1, 0, 0);
    domid = argc > 3 ? (uint32_t)atoi(argv[3]) : 0;
    int rc = 2, flags = argc > 5 ? (int)strtol(argv[5], NULL, 0) : 0;
    if (flags & WITH_ALARMS)
        start_alarms();
    if (strcmp(argv[2], "save") == 0 && argc == 7)
        rc = do_save(argv, flags & 0xff, flags & WITH_POLICY);
    else if (strcmp(argv[2], "restore") == 0 && argc == 7)
        rc = do_restore(argv);
    else if (strcmp(argv[2], "list") == 0)
        rc = do_list();
    else if (strcmp(argv[2], "dirty-sets") == 0 && argc == 5)
        rc = shadow_sets(xch, domid, atoi(argv[4]));
    else if (strcmp(argv[2], "dirty-race") == 0 && argc == 5)
        rc = shadow_race(xch, domid, atoi(argv[4]));
    else if (strcmp(argv[2], "watch") == 0 && argc == 4)
        rc = shadow_watch(xch, domid);
    xc_interface_close(xch);
    return rc;
}
