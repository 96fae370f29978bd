/* SPDX-License-Identifier: Apache-2.0 */
#include "data/data_path.h"

#include "base/logging.h"

#include <string.h>
#include <sys/stat.h>

sgp_status_t data_path_find(const char *data, const char **directory) {
    struct stat info;
    *directory = strcmp(data, "fashion-mnist") == 0 ? DATA_PATH_FASHION_MNIST : data;
    if (stat(*directory, &info) == 0 && S_ISDIR(info.st_mode)) return SGP_OK;
    if (*directory != data)
        return sgp_fail(SGP_ERR_NOT_FOUND,
                        "data %s: there is no directory %s: install Debian's dataset-fashion-mnist "
                        "or give a directory that holds its four files",
                        data, *directory);
    return sgp_fail(SGP_ERR_NOT_FOUND, "data %s: no such directory, and not \"fashion-mnist\"",
                    data);
}
