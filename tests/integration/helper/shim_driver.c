/*
 * The shim without Python, so that sanitizers and valgrind see all of it:
 * loading, both interfaces, callbacks, log texts, and the kick of a stuck thread.
 *
 *   shim_driver LIBRARY LIBRARY_4_14 LIBRARY_4_22 DIRECTORY
 */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECK(what)                                                        \
    do {                                                                   \
        if (!(what)) {                                                     \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #what); \
            exit(1);                                                       \
        }                                                                  \
    } while (0)

static const char *directory;

/* ---- what came out of the library ---- */

static struct {
    char text[SHIM_TEXT_MAX], context[64];
    int level, errnoval, count;
    unsigned long done, total;
} seen;

static void on_log(int level, int errnoval, const char *context, const char *text)
{
    seen.level = level;
    seen.errnoval = errnoval;
    snprintf(seen.context, sizeof(seen.context), "%s", context);
    snprintf(seen.text, sizeof(seen.text), "%s", text);
    seen.count++;
    errno = E2BIG; /* must not reach the caller */
}

static void on_progress(const char *context, const char *doing_what, unsigned long done,
                        unsigned long total)
{
    snprintf(seen.context, sizeof(seen.context), "%s", context);
    snprintf(seen.text, sizeof(seen.text), "%s", doing_what);
    seen.done = done;
    seen.total = total;
}

static void script(const char *steps)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof(path), "%s/script", directory);
    file = fopen(path, "w");
    CHECK(file);
    fputs(steps, file);
    fclose(file);
}

/* ---- loading ---- */

static void loads(struct shim_library *library, const char *path, int abi)
{
    char error[SHIM_ERROR_MAX] = "";

    if (shim_load(library, path, abi, error))
        fprintf(stderr, "%s\n", error);
    CHECK(!*error);
    CHECK(shim_set_simxen_host(library, directory) == 0);
}

static void refuses_what_is_no_library(void)
{
    struct shim_library library;
    char error[SHIM_ERROR_MAX];
    char longest[9000];

    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    CHECK(shim_load(&library, "/nonexistent.so", SHIM_ABI_4_14, error) == -1);
    CHECK(strstr(error, "cannot load: /nonexistent.so"));
    CHECK(shim_load(&library, longest, SHIM_ABI_4_14, error) == -1);
    CHECK(strlen(error) == SHIM_ERROR_MAX - 1);
    CHECK(shim_load(&library, "libc.so.6", SHIM_ABI_4_14, error) == -1);
    CHECK(!strcmp(error, "function not found: xc_interface_open"));
    CHECK(shim_set_simxen_host(&library, directory) == -1 && errno == ENOSYS);
    CHECK(shim_can_load("libc.so.6") && !shim_can_load("libxenguest.so.4.1"));
}

/* ---- log texts ---- */

static void say(int errnoval, const char *context, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    shim_logger()->vmessage(shim_logger(), XTL_WARN, errnoval, context, format,
                            arguments);
    va_end(arguments);
}

static void formats(void)
{
    char longest[3 * SHIM_TEXT_MAX];

    memset(longest, 'y', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    errno = EXDEV;
    say(7, NULL, "%s %d %lu %llx %c %5.1f %p %% %-5s|", "a\xff", -1, ~0ul, 1ull << 63,
        'z', 2.5, NULL, "b");
    CHECK(errno == EXDEV);
    CHECK(seen.level == XTL_WARN && seen.errnoval == 7 && !*seen.context);
    CHECK(!strcmp(seen.text, "a\xff -1 18446744073709551615 8000000000000000 z   2.5 "
                             "(nil) % b    |"));
    say(-1, "xc", "%s", longest);
    CHECK(strlen(seen.text) == SHIM_TEXT_MAX - 1);
    say(-1, "xc", "%s", "");
    CHECK(!*seen.text);
    say(-1, "xc", NULL);
    CHECK(!*seen.text);
    shim_logger()->progress(shim_logger(), NULL, NULL, -1, ~0ul, 0);
    CHECK(!*seen.context && !*seen.text && seen.done == ~0ul && seen.total == 0);
    shim_logger()->destroy(shim_logger());
}

/* ---- callbacks ---- */

struct answers {
    int suspend, policy, logdirty, missing;
    struct precopy_stats stats;
};

static int suspend(void *data)
{
    return ((struct answers *)data)->suspend;
}

static int precopy_policy(struct precopy_stats stats, void *data)
{
    ((struct answers *)data)->stats = stats;
    return ((struct answers *)data)->policy;
}

static int switch_qemu_logdirty(uint32_t domid, unsigned enable, void *data)
{
    return ((struct answers *)data)->logdirty + (int)(domid * 10 + enable);
}

static int static_data_done(unsigned missing, void *data)
{
    ((struct answers *)data)->missing = (int)missing;
    return 0;
}

static void saves(const struct shim_library *library, xc_interface *xch)
{
    struct answers answers = { 1, -1, 100, 0, { 0, 0, 0 } };
    struct save_callbacks callbacks = {
        .suspend = suspend,
        .precopy_policy = precopy_policy,
        .switch_qemu_logdirty = switch_qemu_logdirty,
        .data = &answers,
    };
    int fd = open("/dev/null", O_WRONLY);

    script("policy 0\nsuspend 0\nwrite 100\nlogdirty-on 0\n");
    CHECK(!shim_domain_save(library, xch, fd, 7, 1, &callbacks, XC_STREAM_PLAIN, -1));
    CHECK(!strcmp(seen.text, "logdirty-on=171"));
    CHECK(answers.stats.iteration == 0x1234 && answers.stats.dirty_count == -1);
    CHECK(answers.stats.total_written ==
          (library->abi == SHIM_ABI_4_14 ? 0x89abcdef : 0x123456789abcdef));
    callbacks.precopy_policy = NULL; /* libxc's own */
    script("policy 0\n");
    CHECK(!shim_domain_save(library, xch, fd, 7, 1, &callbacks, XC_STREAM_PLAIN, -1));
    CHECK(!strcmp(seen.text, "policy=77"));
    script("fail 28\n");
    CHECK(shim_domain_save(library, xch, fd, 7, 1, &callbacks, 0, -1) == -1);
    CHECK(errno == ENOSPC);
    close(fd);
}

static void restores(const struct shim_library *library, xc_interface *xch)
{
    struct answers answers = { 0 };
    struct restore_callbacks callbacks = { .static_data_done = static_data_done,
                                           .data = &answers };
    struct shim_restore_arguments arguments = { -1, 9, 1, 2, 3, 4, XC_STREAM_PLAIN, -1 };
    unsigned long store_gfn = 0, console_gfn = 0;

    script("static 0\n");
    CHECK(!shim_domain_restore(library, xch, &arguments, &callbacks, &store_gfn,
                               &console_gfn));
    CHECK(store_gfn == 0x11 && console_gfn == 0x22 && answers.missing == 3);
}

static void asks_about_domains(const struct shim_library *library, xc_interface *xch)
{
    struct xen_domctl_getdomaininfo info;
    uint32_t capabilities = 0;
    uint64_t value = 0, bytes = 0;
    char options[SHIM_COMMAND_LINE_MAX];

    CHECK(shim_domain_info(library, xch, 3, &info) == 1);
    CHECK(info.outstanding_pages == 17);
    CHECK(info.domain == 7 && info.handle[15] == 7 && info.cpu_time == UINT64_MAX);
    CHECK(shim_domain_info(library, xch, 8, &info) == 0);
    CHECK(shim_capabilities(library, xch, &capabilities) == 0 && capabilities == 0x12);
    CHECK(shim_hvm_param(library, xch, 7, 14, &value) == 0 && value == 7014);
    CHECK(shim_free_memory(library, xch, &bytes) == 0 && bytes >> 32 == 5);
    CHECK(!shim_command_line(library, xch, options));
    CHECK(!strcmp(options, "console=vga dom0_mem=2G,max:2G"));
    CHECK(!shim_domain_claim(library, xch, 7, 99));
    CHECK(!shim_domain_pause(library, xch, 7) && !shim_domain_unpause(library, xch, 7));
    CHECK(!shim_domain_shutdown(library, xch, 7, 2));
    CHECK(!shim_domain_resume(library, xch, 7, 1) && !shim_logdirty_off(library, xch, 7));
    CHECK(shim_domain_destroy(library, xch, 7) == -1 && errno == EPERM);
}

static void uses(const char *path, int abi)
{
    struct shim_library library;
    xc_interface *xch;

    loads(&library, path, abi);
    CHECK(shim_set_simxen_host(&library, "/nonexistent") == 0);
    CHECK(!shim_interface_open(&library) && errno == ENOENT);
    CHECK(shim_set_simxen_host(&library, directory) == 0);
    xch = shim_interface_open(&library);
    CHECK(xch);
    saves(&library, xch);
    restores(&library, xch);
    asks_about_domains(&library, xch);
    CHECK(!shim_interface_close(&library, xch));
}

/* ---- the kick ---- */

struct stuck {
    struct shim_library library;
    int stream_fd, returned, retval, errnoval;
};

static void *save_into_full_pipe(void *argument)
{
    struct stuck *stuck = argument;
    struct answers answers = { 0 };
    struct save_callbacks callbacks = { .suspend = suspend, .data = &answers };
    xc_interface *xch = shim_interface_open(&stuck->library);

    stuck->retval = shim_domain_save(&stuck->library, xch, stuck->stream_fd, 7, 0,
                                     &callbacks, 0, -1);
    stuck->errnoval = errno;
    shim_interface_close(&stuck->library, xch);
    __atomic_store_n(&stuck->returned, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void gets_a_stuck_thread_out(const char *path)
{
    struct stuck stuck = { .stream_fd = -1 };
    int pipe_fds[2], dead, signal_fd, kicks = 0;
    char info[128];
    pthread_t thread;

    loads(&stuck.library, path, SHIM_ABI_4_15);
    CHECK(pipe(pipe_fds) == 0);
    stuck.stream_fd = pipe_fds[1];
    script("write 10000000\n");
    signal_fd = shim_take_signals(SIGUSR1);
    CHECK(signal_fd >= 0);
    CHECK(pthread_create(&thread, NULL, save_into_full_pipe, &stuck) == 0);

    /* Signals that are blocked change nothing; the ends are told by the signalfd. */
    CHECK(kill(getpid(), SIGALRM) == 0 && kill(getpid(), SIGTERM) == 0);
    CHECK(read(signal_fd, info, sizeof(info)) == sizeof(info) && info[0] == SIGTERM);
    CHECK(kill(getpid(), SIGUSR2) == 0);
    CHECK(read(signal_fd, info, sizeof(info)) == sizeof(info) && info[0] == SIGUSR2);

    dead = open("/dev/null", O_PATH);
    CHECK(dup2(dead, stuck.stream_fd) == stuck.stream_fd);
    while (!__atomic_load_n(&stuck.returned, __ATOMIC_SEQ_CST)) {
        CHECK(pthread_kill(thread, SIGUSR1) == 0);
        CHECK(++kicks < 10000);
        usleep(1000);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(stuck.retval == -1 && stuck.errnoval == EBADF);
    close(dead);
    close(signal_fd);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

int main(int argc, char **argv)
{
    const struct shim_sink sink = { on_log, on_progress };

    CHECK(argc == 5);
    directory = argv[4];
    say(0, "nobody", "%s", "listens yet");
    shim_set_sink(&sink);
    refuses_what_is_no_library();
    formats();
    uses(argv[1], SHIM_ABI_4_15);
    uses(argv[2], SHIM_ABI_4_14);
    uses(argv[3], SHIM_ABI_4_22);
    gets_a_stuck_thread_out(argv[1]);
    CHECK(shim_no_core() == 0);
    CHECK(shim_harden(SIGTERM) == 0);
    puts("ok");
    return 0;
}
