/* SPDX-License-Identifier: Apache-2.0 */
#include <sgp/status.h>
#include <sgp/version.h>

const char *sgp_version(void) {
    return SGP_VERSION;
}

const char *sgp_status_name(sgp_status_t status) {
    switch (status) {
#define SGP_STATUS_NAME(name, value, message)                                                      \
    case SGP_##name:                                                                               \
        return "SGP_" #name;
        SGP_STATUS_MAP(SGP_STATUS_NAME)
#undef SGP_STATUS_NAME
    }
    return "SGP_ERR_UNKNOWN";
}

const char *sgp_status_message(sgp_status_t status) {
    switch (status) {
#define SGP_STATUS_TEXT(name, value, message)                                                      \
    case SGP_##name:                                                                               \
        return message;
        SGP_STATUS_MAP(SGP_STATUS_TEXT)
#undef SGP_STATUS_TEXT
    }
    return "unknown status";
}
