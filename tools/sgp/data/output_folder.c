/* SPDX-License-Identifier: Apache-2.0 */
#include "data/output_folder.h"
#include "cli/message.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DESCRIPTORS = 16 }; /* of nftw */

static bool fail(const char *path, const char *participle) {
    message_error("%s: cannot be %s: %s", path, participle, strerror(errno));
    return false;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static bool remove_tree(const char *path) {
    return nftw(path, remove_entry, DESCRIPTORS, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT;
}

/* mkdir -p. */
static bool make_all(const char *path) {
    char part[PATH_MAX];
    size_t length = strlen(path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) return fail(part, "made");
    }
    return true;
}

/* Whether OUT is missing, empty, or holds only what may be removed with it. */
static bool may_become(output_folder_t *folder, bool (*may_replace)(const char *name),
                       const char *remedy) {
    DIR *list = opendir(folder->path);
    bool may = true;
    if (!list) return errno == ENOENT || fail(folder->path, "opened");
    for (struct dirent *entry; may && (entry = readdir(list));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        folder->replaces = true;
        if (may_replace && may_replace(entry->d_name)) continue;
        message_error("%s: exists and holds %s; %s", folder->path, entry->d_name, remedy);
        may = false;
    }
    closedir(list);
    return may;
}

static bool take_lock(output_folder_t *folder) {
    folder->lock = open(folder->part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->lock < 0) return fail(folder->part, "opened");
    if (flock(folder->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return true;
    message_error("%s: another process is writing it", folder->part);
    close(folder->lock);
    folder->lock = -1;
    return false;
}

/* The files of a process that was killed. */
static bool empty_part(const output_folder_t *folder) {
    DIR *list = opendir(folder->part);
    if (!list) return fail(folder->part, "opened");
    bool removed = true;
    for (struct dirent *entry; removed && (entry = readdir(list));) {
        char path[PATH_MAX + NAME_MAX + 2];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder->part, entry->d_name);
        removed = remove_tree(path) || fail(path, "removed");
    }
    closedir(list);
    return removed;
}

bool output_folder_begin(const char *out, bool (*may_replace)(const char *name), const char *remedy,
                         output_folder_t *folder) {
    size_t length = strlen(out);
    while (length > 1 && out[length - 1] == '/') length--;
    *folder = (output_folder_t){.lock = -1};
    if (length + sizeof OUTPUT_FOLDER_PART > PATH_MAX - NAME_MAX) {
        errno = ENAMETOOLONG;
        return fail(out, "made");
    }
    memcpy(folder->path, out, length);
    snprintf(folder->part, sizeof folder->part, "%.*s" OUTPUT_FOLDER_PART, (int)length, out);
    if (!may_become(folder, may_replace, remedy) || !make_all(folder->part) || !take_lock(folder))
        return false;
    if (empty_part(folder)) return true;
    output_folder_abandon(folder);
    return false;
}

bool output_folder_make(const output_folder_t *folder, const char *name) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder->part, name) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return fail(name, "made");
    }
    return make_all(path);
}

/* Forces the new names of the folder to the disk. EINVAL: the file system cannot. */
static bool sync_folder(const char *path) {
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = folder >= 0 && (fsync(folder) == 0 || errno == EINVAL);
    if (folder >= 0) close(folder);
    return synced;
}

/* Where the file system cannot exchange two folders in one step. The old one steps aside, and comes back if the new one
 * cannot take its place. */
static bool replace_in_steps(const output_folder_t *folder) {
    char old[PATH_MAX + 8];
    snprintf(old, sizeof old, "%s.XXXXXX", folder->path);
    if (!mkdtemp(old)) return fail(old, "made");
    if (rename(folder->path, old) != 0) {
        fail(folder->path, "replaced");
        rmdir(old);
        return false;
    }
    if (rename(folder->part, folder->path) != 0) {
        fail(folder->path, "replaced");
        rename(old, folder->path);
        return false;
    }
    return remove_tree(old) || fail(old, "removed");
}

static bool replace(const output_folder_t *folder) {
    if (!folder->replaces)
        return rename(folder->part, folder->path) == 0 || fail(folder->path, "made");
    if (renameat2(AT_FDCWD, folder->part, AT_FDCWD, folder->path, RENAME_EXCHANGE) != 0)
        return replace_in_steps(folder);
    return remove_tree(folder->part) || fail(folder->part, "removed");
}

bool output_folder_finish(output_folder_t *folder) {
    if (!sync_folder(folder->part)) fail(folder->part, "written");
    else if (replace(folder)) {
        close(folder->lock);
        folder->lock = -1;
        return true;
    }
    output_folder_abandon(folder);
    return false;
}

void output_folder_abandon(output_folder_t *folder) {
    if (folder->lock < 0) return;
    if (!remove_tree(folder->part)) fail(folder->part, "removed");
    close(folder->lock);
    folder->lock = -1;
}
