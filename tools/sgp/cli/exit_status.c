/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/exit_status.h"

int exit_status_of(sgp_status_t status) {
    switch (status) {
    case SGP_OK:
        return 0;
    case SGP_ERR_INVALID:
    case SGP_ERR_NOT_FOUND:
    case SGP_ERR_FORMAT:
    case SGP_ERR_UNSUPPORTED:
    case SGP_ERR_MISMATCH:
        return EXIT_MISTAKE;
    case SGP_ERR_INTERRUPTED:
        return EXIT_INTERRUPT;
    default:
        return EXIT_FAILED;
    }
}
