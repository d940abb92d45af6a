/* Remembers what a power cut would undo: for each write to a watched file that no fsync has followed yet, the bytes
 * that were there before. Loaded with LD_PRELOAD into a process that writes an SQLite database named in CUT_FILE.
 *
 * FILE.undo and FILE-wal.undo hold records {int64 offset, int64 length, int64 size of the file before} + bytes; a sync
 * of the file empties them. The page cache keeps them when the process is killed, which is when they are needed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* The undo file of a watched descriptor, opened; -1 for any other. */
static int undo_of(int fd) {
  const char *watched = getenv("CUT_FILE");
  char link[64], path[512], undo[600];
  if (!watched) return -1;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return -1;
  path[length] = 0;
  size_t stem = strlen(watched);
  if (strncmp(path, watched, stem) || (path[stem] && strcmp(path + stem, "-wal"))) return -1;
  snprintf(undo, sizeof undo, "%s.undo", path);
  return open(undo, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void remember(int fd, int64_t offset, int64_t length) {
  int undo = undo_of(fd);
  struct stat now;
  if (undo < 0) return;
  if (fstat(fd, &now)) abort();
  int64_t kept = offset >= now.st_size ? 0 : now.st_size - offset < length ? now.st_size - offset : length;
  int64_t head[3] = {offset, kept, now.st_size};
  char *record = malloc(sizeof head + kept);
  memcpy(record, head, sizeof head);
  if (kept && pread(fd, record + sizeof head, kept, offset) != kept) abort();
  if (write(undo, record, sizeof head + kept) != (ssize_t)(sizeof head + kept)) abort();
  free(record);
  close(undo);
}

static void forget(int fd) {
  int undo = undo_of(fd);
  if (undo < 0) return;
  if (ftruncate(undo, 0)) abort();
  close(undo);
}

int unlink(const char *path) {
  REAL(unlink);
  const char *watched = getenv("CUT_FILE");
  char undo[600];
  if (watched && !strncmp(path, watched, strlen(watched))) {
    snprintf(undo, sizeof undo, "%s.undo", path);
    real(undo);
  }
  return real(path);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
  REAL(pwrite64);
  remember(fd, offset, length);
  return real(fd, data, length, offset);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
  REAL(pwrite);
  remember(fd, offset, length);
  return real(fd, data, length, offset);
}

int ftruncate64(int fd, off64_t size) {
  REAL(ftruncate64);
  struct stat now;
  if (fstat(fd, &now) == 0 && now.st_size > size) remember(fd, size, now.st_size - size);
  return real(fd, size);
}

int fsync(int fd) {
  REAL(fsync);
  int result = real(fd);
  if (result == 0) forget(fd);
  return result;
}

int fdatasync(int fd) {
  REAL(fdatasync);
  int result = real(fd);
  if (result == 0) forget(fd);
  return result;
}
