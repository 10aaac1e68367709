/* SPDX-License-Identifier: Apache-2.0 */
#include "document/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct folder {
        int fd;
};

static enum status failed(struct error *err, const char *what)
{
        enum status status = STATUS_INTERNAL;

        if (errno == ENOSPC || errno == EDQUOT)
                status = STATUS_UNAVAILABLE;
        else if (errno == ENOENT)
                status = STATUS_NOT_FOUND;
        return error_set(err, status, "%s: %s", what, strerror(errno));
}

static int folder_destroy(struct folder *folder)
{
        mem_fd_close_at(&folder->fd);
        return 0;
}

static bool make_with_parents(const char *path)
{
        SCOPED_MEM char *copy = mem_strdup(NULL, path);

        for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(copy, 0700) && errno != EEXIST)
                        return false;
                *slash = '/';
        }
        return !mkdir(copy, 0700) || errno == EEXIST;
}

enum status folder_open(const void *ctx, const char *path, struct folder **ret, struct error *err)
{
        struct folder *folder;
        int fd = -1;

        if (make_with_parents(path))
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return failed(err, path);
        folder = mem_new(ctx, struct folder);
        folder->fd = fd;
        talloc_set_destructor(folder, folder_destroy);
        *ret = folder;
        return STATUS_OK;
}

/* --- Writing -----------------------------------------------------------------------------------*/
enum status folder_begin(struct folder *folder, struct part_file *ret, struct error *err)
{
        char id[UUID_TEXT_SIZE];

        *ret = (struct part_file){
                .fd = openat(folder->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)};
        if (ret->fd >= 0)
                return STATUS_OK;
        /* Some file systems cannot: a hidden name then, swept at the next start if left over. */
        snprintf(ret->name, sizeof(ret->name), ".part-%s", uuid_new(id));
        ret->fd = openat(folder->fd, ret->name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        return ret->fd >= 0 ? STATUS_OK : failed(err, "the file cannot be stored");
}

void folder_drop(struct folder *folder, struct part_file *part)
{
        if (part->fd < 0)
                return;
        if (*part->name)
                unlinkat(folder->fd, part->name, 0);
        close(part->fd);
        part->fd = -1;
}

enum status part_file_write(struct part_file *part, const void *data, size_t length,
                            struct error *err)
{
        const char *at = data;

        while (length) {
                ssize_t written = write(part->fd, at, length);

                if (written < 0 && errno == EINTR)
                        continue;
                if (written < 0)
                        return failed(err, "the file cannot be stored");
                at += written;
                length -= (size_t)written;
        }
        return STATUS_OK;
}

/* A file that never had a name gets one by link(), which does not replace. */
static int give_name(struct folder *folder, struct part_file *part, const char *name)
{
        char path[64];

        if (*part->name)
                return renameat(folder->fd, part->name, folder->fd, name);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", part->fd);
        if (unlinkat(folder->fd, name, 0) && errno != ENOENT)
                return -1;
        return linkat(AT_FDCWD, path, folder->fd, name, AT_SYMLINK_FOLLOW);
}

enum status folder_keep(struct folder *folder, struct part_file *part, const char *name,
                        struct error *err)
{
        if (fsync(part->fd) || give_name(folder, part, name) || fsync(folder->fd))
                return failed(err, "the file cannot be stored");
        close(part->fd);
        part->fd = -1;
        return STATUS_OK;
}

/* --- Reading and removing ----------------------------------------------------------------------*/
enum status folder_read(struct folder *folder, const char *name, int *ret_fd, struct error *err)
{
        *ret_fd = openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        return *ret_fd >= 0 ? STATUS_OK : failed(err, "the stored file cannot be opened");
}

void folder_remove(struct folder *folder, const char *name)
{
        unlinkat(folder->fd, name, 0);
}

char *folder_text_name(const char *id, char name[UUID_TEXT_SIZE + 4])
{
        snprintf(name, UUID_TEXT_SIZE + 4, "%s.txt", id);
        return name;
}

void folder_remove_document(struct folder *folder, const char *id)
{
        char name[UUID_TEXT_SIZE + 4];

        folder_remove(folder, id);
        folder_remove(folder, folder_text_name(id, name));
}

static bool is_old(struct folder *folder, const char *name, unsigned seconds)
{
        struct stat about;

        return fstatat(folder->fd, name, &about, AT_SYMLINK_NOFOLLOW) == 0 &&
               S_ISREG(about.st_mode) && time(NULL) - about.st_mtime >= (time_t)seconds;
}

void folder_each_old(struct folder *folder, unsigned seconds, folder_fn *each, void *arg)
{
        int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *entry;

        if (!dir) {
                mem_fd_close_at(&fd);
                return;
        }
        while ((entry = readdir(dir))) {
                if (is_old(folder, entry->d_name, seconds))
                        each(entry->d_name, arg);
        }
        closedir(dir);
}
