/* The least that a supervisor does: starts COUNT children, and each that ends again, at once.
 *
 * floor CHILD LOG COUNT     SIGTERM kills all, and ends it. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIDS = 1 << 22 };
/* Whose a pid is; the pages that no pid falls into are never there. */
static int owner[PIDS];
static char *child, *log_path;

static void start(int number) {
    char id[16];
    snprintf(id, sizeof id, "%d", number);
    pid_t pid = fork();
    if (pid < 0) exit(1);
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, 0);
        setsid();
        execl(child, child, log_path, id, (char *)0);
        _exit(127);
    }
    owner[pid] = number;
}

int main(int count, char **words) {
    if (count != 4) return 2;
    child = words[1];
    log_path = words[2];
    int wanted = atoi(words[3]);
    sigset_t heard;
    sigemptyset(&heard);
    sigaddset(&heard, SIGCHLD);
    sigaddset(&heard, SIGTERM);
    sigprocmask(SIG_BLOCK, &heard, 0);
    for (int number = 1; number <= wanted; number++) start(number);
    for (;;) {
        if (sigwaitinfo(&heard, 0) == SIGTERM) break;
        for (pid_t pid; (pid = waitpid(-1, 0, WNOHANG)) > 0;) {
            int number = owner[pid];
            owner[pid] = 0;
            start(number);
        }
    }
    for (int pid = 1; pid < PIDS; pid++)
        if (owner[pid]) kill(-pid, SIGKILL);
    while (wait(0) > 0) {}
    return 0;
}
