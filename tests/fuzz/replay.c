/* SPDX-License-Identifier: Apache-2.0 */
/* replay FOLDER runs each file of the folder through the target that it is linked with. */
#include "fuzz.h"

#include <dirent.h>

static int run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    static uint8_t bytes[1 << 16];
    if (!file) {
        perror(path);
        return 1;
    }
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    /* A buffer of exactly its size, so that sanitizers see a read beyond it. */
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) return 1;
    memcpy(copy, bytes, size);
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    return 0;
}

int main(int argc, char **argv) {
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    int failures = 0, files = 0;
    char path[4096];
    if (!folder) {
        fprintf(stderr, "usage: replay FOLDER\n");
        return 2;
    }
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        failures += run_file(path);
        files++;
    }
    closedir(folder);
    printf("%d files\n", files);
    return failures > 0 || files == 0;
}
