/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/folder_scan.h"

#include "base/logging.h"
#include "data/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_DEPTH = 32 }; /* folders in each other */

/* Where the walk is: a folder, and those above it up to the class folder. */
typedef struct walk {
    folder_scan_t *scan;
    char path[PATH_MAX];
    size_t length; /* of path */
    size_t below;  /* where the name relative to the class folder begins */
    int depth;
    struct {
        dev_t device;
        ino_t inode;
    } above[MOST_DEPTH];
} walk_t;

typedef enum kind { KIND_FILE, KIND_FOLDER, KIND_OTHER } kind_t;

static sgp_status_t fail_memory(const walk_t *walk) {
    return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory for the names of its files", walk->path);
}

static bool ends_with(const char *name, const char *const *endings) {
    const char *dot = strrchr(name, '.');
    for (; dot && *endings; endings++)
        if (strcasecmp(dot, *endings) == 0) return true;
    return false;
}

static bool is_picture(const char *name) {
    static const char *const endings[] = {".jpg", ".jpeg", ".png", NULL};
    return ends_with(name, endings);
}

/* torchvision would read these. */
static bool is_other_picture(const char *name) {
    static const char *const endings[] = {".bmp", ".gif",  ".pgm",  ".ppm",
                                          ".tif", ".tiff", ".webp", NULL};
    return ends_with(name, endings);
}

/* A link with the ending of a picture is taken for a file unseen: a folder of a million links is as quick as one of
 * files. */
static kind_t kind_of(int folder, const struct dirent *entry) {
    struct stat info;
    if (entry->d_type == DT_REG) return KIND_FILE;
    if (entry->d_type == DT_DIR) return KIND_FOLDER;
    if (entry->d_type == DT_LNK && is_picture(entry->d_name)) return KIND_FILE;
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) return KIND_OTHER;
    if (fstatat(folder, entry->d_name, &info, 0) != 0) return KIND_OTHER;
    return S_ISDIR(info.st_mode) ? KIND_FOLDER : S_ISREG(info.st_mode) ? KIND_FILE : KIND_OTHER;
}

/* Appends "/name" to the path. */
static sgp_status_t enter(walk_t *walk, const char *name) {
    size_t length = strlen(name);
    if (walk->length + 1 + length >= PATH_MAX)
        return sgp_fail(SGP_ERR_FORMAT, "%s/%s: the path is longer than %d bytes", walk->path, name,
                        PATH_MAX - 1);
    walk->path[walk->length] = '/';
    memcpy(walk->path + walk->length + 1, name, length + 1);
    walk->length += 1 + length;
    return SGP_OK;
}

static void leave(walk_t *walk, size_t length) {
    walk->length = length;
    walk->path[length] = '\0';
}

/* Opens the folder at the path for reading its entries. */
static sgp_status_t open_folder(walk_t *walk, DIR **list) {
    struct stat info;
    int folder = open(walk->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || fstat(folder, &info) != 0 || !(*list = fdopendir(folder))) {
        int error = errno;
        if (folder >= 0) close(folder);
        return sgp_fail(error == ENOMEM ? SGP_ERR_NO_MEMORY : SGP_ERR_IO,
                        "%s: cannot be opened: %s", walk->path, strerror(error));
    }
    for (int i = 0; i < walk->depth; i++)
        if (walk->above[i].device == info.st_dev && walk->above[i].inode == info.st_ino) {
            closedir(*list);
            return sgp_fail(SGP_ERR_FORMAT, "%s: is a link to a folder above it", walk->path);
        }
    walk->above[walk->depth].device = info.st_dev;
    walk->above[walk->depth].inode = info.st_ino;
    return SGP_OK;
}

/* The next entry but "." and ".."; *entry is NULL at the end. */
static sgp_status_t next_entry(const walk_t *walk, DIR *list, struct dirent **entry) {
    do {
        errno = 0;
        *entry = readdir(list);
    } while (*entry && (strcmp((*entry)->d_name, ".") == 0 || strcmp((*entry)->d_name, "..") == 0));
    if (*entry || errno == 0) return SGP_OK;
    return sgp_fail(SGP_ERR_IO, "%s: cannot be read: %s", walk->path, strerror(errno));
}

static void ignore(walk_t *walk, const char *name) {
    folder_scan_t *scan = walk->scan;
    bool other = is_other_picture(name);
    if (scan->ignored == 0 || (other && scan->pictures == 0))
        snprintf(scan->example, sizeof scan->example, "%s/%s", walk->path, name);
    scan->ignored++;
    scan->pictures += other;
}

static sgp_status_t add_file(walk_t *walk, const char *name) {
    size_t length = walk->length;
    sgp_status_t status = enter(walk, name);
    if (status) return status;
    if (names_add(&walk->scan->files, walk->path + walk->below)) status = fail_memory(walk);
    leave(walk, length);
    return status;
}

/* Adds the pictures of the folder at the path, and of those in it. */
static sgp_status_t walk_folder(walk_t *walk) {
    DIR *list;
    struct dirent *entry;
    size_t length = walk->length;
    if (walk->depth == MOST_DEPTH)
        return sgp_fail(SGP_ERR_FORMAT, "%s: more than %d folders in each other", walk->path,
                        MOST_DEPTH);
    sgp_status_t status = open_folder(walk, &list);
    if (status) return status;
    walk->depth++;
    while (!(status = next_entry(walk, list, &entry)) && entry) {
        kind_t kind = kind_of(dirfd(list), entry);
        if (kind == KIND_FOLDER) {
            status = enter(walk, entry->d_name);
            if (!status) status = walk_folder(walk);
            leave(walk, length);
        } else if (kind == KIND_FILE && is_picture(entry->d_name)) {
            status = add_file(walk, entry->d_name);
        } else {
            ignore(walk, entry->d_name);
        }
        if (status) break;
    }
    walk->depth--;
    closedir(list);
    return status;
}

/* By folder, then by name, as sorted(os.walk(...)) of torchvision: "a/x" stands before "a-b/x". */
static int compare_files(const char *left, const char *right) {
    const char *left_name = strrchr(left, '/'), *right_name = strrchr(right, '/');
    size_t left_folder = left_name ? (size_t)(left_name - left) : 0;
    size_t right_folder = right_name ? (size_t)(right_name - right) : 0;
    size_t both = left_folder < right_folder ? left_folder : right_folder;
    int order = memcmp(left, right, both);
    if (order == 0 && left_folder != right_folder) order = left_folder < right_folder ? -1 : 1;
    return order ? order : strcmp(left + left_folder, right + right_folder);
}

static sgp_status_t list_classes(walk_t *walk) {
    DIR *list;
    struct dirent *entry;
    folder_scan_t *scan = walk->scan;
    sgp_status_t status = open_folder(walk, &list);
    if (status) return status;
    uint64_t files = 0;
    while (!(status = next_entry(walk, list, &entry)) && entry) {
        files += is_picture(entry->d_name);
        if (kind_of(dirfd(list), entry) != KIND_FOLDER) continue;
        if (names_add(&scan->classes, entry->d_name)) status = fail_memory(walk);
        if (status) break;
    }
    closedir(list);
    if (status) return status;
    if (scan->classes.count == 0)
        return sgp_fail(SGP_ERR_FORMAT,
                        "%s: holds no class folder%s: should be one folder for each class, with "
                        "its pictures",
                        walk->path, files ? ", but pictures" : "");
    if (scan->classes.count > SOURCE_MAX_CLASSES)
        return sgp_fail(SGP_ERR_FORMAT, "%s: holds %zu class folders: should be at most %d",
                        walk->path, scan->classes.count, SOURCE_MAX_CLASSES);
    names_sort(&scan->classes, 0, strcmp);
    return SGP_OK;
}

static sgp_status_t walk_class(walk_t *walk, const char *class) {
    folder_scan_t *scan = walk->scan;
    size_t length = walk->length, before = scan->files.count;
    sgp_status_t status = enter(walk, class);
    if (status) return status;
    walk->below = walk->length + 1;
    status = walk_folder(walk);
    if (!status && scan->files.count == before)
        status = sgp_fail(SGP_ERR_FORMAT,
                          "%s: a class folder without pictures: should hold .jpg, .jpeg or .png "
                          "files, or be removed",
                          walk->path);
    leave(walk, length);
    names_sort(&scan->files, before, compare_files);
    return status;
}

sgp_status_t folder_scan(const char *path, folder_scan_t *scan) {
    walk_t walk = {.scan = scan};
    size_t length = strlen(path);
    if (length >= PATH_MAX)
        return sgp_fail(SGP_ERR_FORMAT, "%s: the path is longer than %d bytes", path, PATH_MAX - 1);
    memcpy(walk.path, path, length + 1);
    walk.length = length;
    sgp_status_t status = list_classes(&walk);
    if (status) return status;
    scan->first = calloc(scan->classes.count + 1, sizeof *scan->first);
    if (!scan->first) return fail_memory(&walk);
    for (size_t i = 0; i < scan->classes.count && !status; i++) {
        status = walk_class(&walk, names_at(&scan->classes, i));
        scan->first[i + 1] = scan->files.count;
    }
    if (!status) names_trim(&scan->files);
    return status;
}

void folder_scan_fini(folder_scan_t *scan) {
    names_fini(&scan->classes);
    names_fini(&scan->files);
    free(scan->first);
    *scan = (folder_scan_t){0};
}
