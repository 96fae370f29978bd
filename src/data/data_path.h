/* SPDX-License-Identifier: Apache-2.0 */
/* Where the data are that --data names. */
#ifndef SGP_DATA_DATA_PATH_H
#define SGP_DATA_DATA_PATH_H

#include <sgp/status.h>

/* Where Debian's dataset-fashion-mnist is. */
#define DATA_PATH_FASHION_MNIST "/usr/share/datasets/fashion-mnist"

/* data: "fashion-mnist" (in the directory of Debian's dataset-fashion-mnist), or a directory.
 * *directory: static, or data itself. SGP_ERR_NOT_FOUND: there is no such directory, logged. */
sgp_status_t data_path_find(const char *data, const char **directory);

#endif
