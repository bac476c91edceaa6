/* What is supervised in the benchmark: says by one write that it runs, and stays.
 *
 * child LOG ID FLAG...     ID "-" is $HOSTLER_AGENT. Started as ./run by a supervisor of directories,
 *                          without arguments or, by s6, with a name alone, LOG is $BENCH_LOG and ID the name of the directory.
 * A line of LOG: KIND ID PID NANOSECONDS, by the clock of the day. KIND is C for the child itself, G for
 * what it forked, B for the last beat of one that hangs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *log_path, *id;

static void say(char kind) {
    struct timespec at;
    char line[256];
    clock_gettime(CLOCK_REALTIME, &at);
    long long nanos = at.tv_sec * 1000000000LL + at.tv_nsec;
    int length = snprintf(line, sizeof line, "%c %s %d %lld\n", kind, id, (int)getpid(), nanos);
    int file = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0 || write(file, line, length) != length) _exit(97);
    close(file);
}

static void stay(void) {
    for (;;) pause();
}

static void rest(long millis) {
    struct timespec wait = {millis / 1000, millis % 1000 * 1000000};
    nanosleep(&wait, 0);
}

static void say_line(const char *line) {
    size_t length = strlen(line);
    if (write(1, line, length) != (ssize_t)length) _exit(96);
}

/* A worker that promises to beat while it is idle, beats for a second, and hangs. */
static void beat(void) {
    char hello[4096];
    if (read(0, hello, sizeof hello) <= 0) _exit(95);
    say_line("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocol_version\":1,\"idle_heartbeat\":true}}\n");
    for (int beats = 0; beats < 10; beats++) {
        say_line("{\"jsonrpc\":\"2.0\",\"method\":\"heartbeat\",\"params\":{}}\n");
        if (beats == 9) say('B');
        else rest(100);
    }
    raise(SIGSTOP);
    stay();
}

static long long clock_nanos(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

/* Lines on stderr, 200 MB of them a second, if they are taken; most of what was not is not made up for. */
static void flood(void) {
    static char lines[1 << 16];
    const long long most_behind = 50000000;
    long long began = clock_nanos(), sent = 0;
    for (size_t at = 0; at < sizeof lines; at++) lines[at] = at % 256 == 255 ? '\n' : 'x';
    for (;;) {
        long long due = (clock_nanos() - began) / 5;
        if (due - sent > most_behind) sent = due - most_behind;
        for (; sent < due; sent += sizeof lines)
            if (write(2, lines, sizeof lines) <= 0) _exit(94);
        rest(1);
    }
}

int main(int count, char **words) {
    static char here[512];
    log_path = count > 2 ? words[1] : getenv("BENCH_LOG");
    id = count > 2 ? words[2] : 0;
    if (id && !strcmp(id, "-")) id = getenv("HOSTLER_AGENT");
    if (!id && getcwd(here, sizeof here)) id = strrchr(here, '/') + 1;
    if (!log_path || !id) return 98;
    const char *flag = count > 3 ? words[3] : "";
    signal(SIGTERM, strcmp(flag, "deaf") ? SIG_DFL : SIG_IGN);
    say('C');
    if (!strcmp(flag, "fail")) return 1;
    if (!strcmp(flag, "stop")) raise(SIGSTOP);
    if (!strcmp(flag, "beat")) beat();
    if (!strcmp(flag, "flood")) flood();
    if (!strcmp(flag, "count")) {
        for (int line = 0; line < atoi(words[4]); line++) {
            char text[32];
            snprintf(text, sizeof text, "%d\n", line);
            say_line(text);
            rest(20);
        }
        return 0;
    }
    int forks = !strcmp(flag, "fork"), leaves = !strcmp(flag, "setsid");
    if ((forks || leaves) && !fork()) {
        if (leaves) setsid();
        say('G');
        stay();
    }
    stay();
}
