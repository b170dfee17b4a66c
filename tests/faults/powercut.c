/* A disk that forgets: remembers how much of each file was synced, so that a power cut can take the rest away.
 *
 * Preloaded into redis-server. Every fsync and fdatasync appends "<path>\t<size>\n" to $POWERCUT_LOG before it returns to the
 * caller; what a file held beyond its last line was never promised to be on the disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static long long size_of(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (long long)st.st_size : -1;
}

static void note(int fd, long long size) {
    const char *log = getenv("POWERCUT_LOG");
    char link[64], path[PATH_MAX], line[PATH_MAX + 64];
    if (!log || size < 0) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return;
    path[n] = 0;
    int len = snprintf(line, sizeof line, "%s\t%lld\n", path, size);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (out < 0) return;
    if (write(out, line, len) != len) abort();
    close(out);
}

/* The size from before the sync: what another thread writes meanwhile is not covered by it. */
int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    long long size = size_of(fd);
    int result = real(fd);
    if (result == 0) note(fd, size);
    return result;
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    long long size = size_of(fd);
    int result = real(fd);
    if (result == 0) note(fd, size);
    return result;
}
