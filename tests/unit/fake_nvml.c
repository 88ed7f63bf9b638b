/* A library that answers as NVIDIA's does, by what FAKE_NVML says: words such as "busy", "hot", "lost", "xid79". */
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NOT_LOADED = 9, TIMEOUT = 10, LOST = 15 };

typedef struct { unsigned int pid; unsigned long long used; unsigned int instance, compute; } process;
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { void *device; unsigned long long type, data; unsigned int instance, compute; } event;

static int told;

static int is(const char *word) {
    const char *said = getenv("FAKE_NVML");
    return said && strstr(said, word) != NULL;
}

int nvmlInitWithFlags(unsigned int flags) { (void)flags; return is("noload") ? NOT_LOADED : OK; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int code) {
    return code == LOST ? "GPU is lost" : code == NOT_LOADED ? "Driver Not Loaded" : "An error";
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    if (is("lost")) return LOST;
    if (strcmp(uuid, "GPU-aaaa") != 0) return NOT_FOUND;
    *device = (void *)1;
    return OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *count, process *out) {
    unsigned int there = is("busy") ? 2 : 0, room = *count;
    (void)device;
    *count = there;
    if (room < there) return TOO_SMALL;
    for (unsigned int n = 0; n < there && out; n++) {
        out[n].pid = 4001 + n;
        out[n].used = 1 << 20;
        out[n].instance = out[n].compute = 0xFFFFFFFF;
    }
    return OK;
}

int nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int length) {
    (void)pid;
    strncpy(name, "/home/eve/\033[2Jpython", length);
    return OK;
}

int nvmlDeviceGetMemoryInfo(void *device, memory *out) {
    (void)device;
    out->total = 80ULL << 30;
    out->used = is("full") ? 5ULL << 30 : 100ULL << 20;
    out->free = out->total - out->used;
    return OK;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons) {
    (void)device;
    *reasons = is("hot") ? 0x40 | 0x4 : is("capped") ? 0x4 | 0x1 : 0;
    return OK;
}

#ifndef OLD_DRIVER
int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *reasons) {
    return nvmlDeviceGetCurrentClocksThrottleReasons(device, reasons);
}
#endif

int nvmlDeviceGetClockInfo(void *device, int type, unsigned int *clock) {
    (void)device;
    if (is("noclock") || type != 1) return NOT_SUPPORTED;
    *clock = is("slow") ? 600 : 1980;
    return OK;
}

int nvmlDeviceGetTotalEccErrors(void *device, int type, int counter, unsigned long long *count) {
    (void)device;
    if (is("noecc")) return NOT_SUPPORTED;
    *count = is("ecc") && type == 1 && counter == 0 ? 3 : 0;
    return OK;
}

int nvmlEventSetCreate(void **set) { *set = (void *)2; return is("noevents") ? NOT_SUPPORTED : OK; }
int nvmlEventSetFree(void *set) { (void)set; return OK; }

int nvmlDeviceRegisterEvents(void *device, unsigned long long types, void *set) {
    (void)device; (void)types; (void)set;
    return OK;
}

int nvmlEventSetWait_v2(void *set, event *out, unsigned int milliseconds) {
    (void)set; (void)milliseconds;
    if (told++ || !is("xid")) return TIMEOUT;
    memset(out, 0, sizeof *out);
    out->data = is("xid79") ? 79 : 31;
    return OK;
}
