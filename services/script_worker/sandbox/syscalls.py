"""The numbers of the syscalls that the filter names, by architecture.

Source: the kernel's own headers, asm/unistd_64.h and asm-generic/unistd.h, which the tests compare
where they are installed. aarch64 came late: what has a newer form there has no older one.
"""

from __future__ import annotations

from typing import Final, Literal

Machine = Literal["x86_64", "aarch64"]

_TABLE: Final = """
read:0:63 write:1:64 open:2:- close:3:57 stat:4:- fstat:5:80 lstat:6:- poll:7:- lseek:8:62
mmap:9:222 mprotect:10:226 munmap:11:215 brk:12:214 rt_sigaction:13:134 rt_sigprocmask:14:135
rt_sigreturn:15:139 ioctl:16:29 pread64:17:67 pwrite64:18:68 readv:19:65 writev:20:66 access:21:-
pipe:22:- select:23:- sched_yield:24:124 mremap:25:216 mincore:27:232 madvise:28:233 shmget:29:194
dup:32:23 dup2:33:- pause:34:- nanosleep:35:101 getpid:39:172 sendfile:40:71 socket:41:198
connect:42:203 accept:43:202 sendto:44:206 recvfrom:45:207 sendmsg:46:211 recvmsg:47:212
shutdown:48:210 bind:49:200 listen:50:201 getsockname:51:204 getpeername:52:205 socketpair:53:199
setsockopt:54:208 getsockopt:55:209 clone:56:220 fork:57:- vfork:58:- execve:59:221 exit:60:93
wait4:61:260 kill:62:129 uname:63:160 semget:64:190 msgget:68:186 fcntl:72:25 fsync:74:82
fdatasync:75:83 truncate:76:45 ftruncate:77:46 getcwd:79:17 chdir:80:49 fchdir:81:50 rename:82:-
mkdir:83:- rmdir:84:- creat:85:- link:86:- unlink:87:- symlink:88:- readlink:89:- chmod:90:-
fchmod:91:52 chown:92:- fchown:93:55 lchown:94:- umask:95:166 gettimeofday:96:169 getrlimit:97:163
getrusage:98:165 sysinfo:99:179 times:100:153 ptrace:101:117 getuid:102:174 getgid:104:176
setuid:105:146 setgid:106:144 geteuid:107:175 getegid:108:177 setpgid:109:154 getppid:110:173
getpgrp:111:- setsid:112:157 setreuid:113:145 setregid:114:143 getgroups:115:158 setgroups:116:159
setresuid:117:147 getresuid:118:148 setresgid:119:149 getresgid:120:150 getpgid:121:155
setfsuid:122:151 setfsgid:123:152 getsid:124:156 capget:125:90 capset:126:91 rt_sigpending:127:136
rt_sigtimedwait:128:137 rt_sigqueueinfo:129:138 rt_sigsuspend:130:133 sigaltstack:131:132
utime:132:- mknod:133:- statfs:137:43 fstatfs:138:44 getpriority:140:141 setpriority:141:140
sched_setparam:142:118 sched_getparam:143:121 sched_setscheduler:144:119
sched_getscheduler:145:120 sched_get_priority_max:146:125 sched_get_priority_min:147:126
pivot_root:155:41 prctl:157:167 arch_prctl:158:- setrlimit:160:164 chroot:161:51 mount:165:40
umount2:166:39 gettid:186:178 setxattr:188:5 lsetxattr:189:6 fsetxattr:190:7 removexattr:197:14
lremovexattr:198:15 fremovexattr:199:16 tkill:200:130 time:201:- futex:202:98
sched_setaffinity:203:122 sched_getaffinity:204:123 epoll_create:213:- getdents64:217:61
set_tid_address:218:96 restart_syscall:219:128 fadvise64:221:223 clock_gettime:228:113
clock_getres:229:114 clock_nanosleep:230:115 exit_group:231:94 epoll_wait:232:- epoll_ctl:233:21
tgkill:234:131 utimes:235:- waitid:247:95 add_key:248:217 request_key:249:218 keyctl:250:219
ioprio_set:251:30 inotify_init:253:- inotify_add_watch:254:27 openat:257:56 mkdirat:258:34
mknodat:259:33 fchownat:260:54 futimesat:261:- newfstatat:262:79 unlinkat:263:35 renameat:264:38
linkat:265:37 symlinkat:266:36 readlinkat:267:78 fchmodat:268:53 faccessat:269:48 pselect6:270:72
ppoll:271:73 unshare:272:97 set_robust_list:273:99 get_robust_list:274:100 utimensat:280:88
epoll_pwait:281:22 timerfd_create:283:85 eventfd:284:- fallocate:285:47 timerfd_settime:286:86
timerfd_gettime:287:87 accept4:288:242 eventfd2:290:19 epoll_create1:291:20 dup3:292:24
pipe2:293:59 inotify_init1:294:26 preadv:295:69 pwritev:296:70 rt_tgsigqueueinfo:297:240
perf_event_open:298:241 recvmmsg:299:243 prlimit64:302:261 sendmmsg:307:269 setns:308:268
getcpu:309:168 process_vm_readv:310:270 process_vm_writev:311:271 sched_setattr:314:274
renameat2:316:276 seccomp:317:277 getrandom:318:278 memfd_create:319:279 bpf:321:280
execveat:322:281 membarrier:324:283 preadv2:327:286 pwritev2:328:287 pkey_mprotect:329:288
pkey_alloc:330:289 pkey_free:331:290 statx:332:291 rseq:334:293 pidfd_send_signal:424:424
pidfd_open:434:434 clone3:435:435 close_range:436:436 pidfd_getfd:438:438 faccessat2:439:439
epoll_pwait2:441:441 fchmodat2:452:452
"""
"""Name, number on x86-64, number on aarch64."""


def _column(index: int) -> dict[str, int]:
    rows = (entry.split(":") for entry in _TABLE.split())
    return {row[0]: int(row[index]) for row in rows if row[index] != "-"}


NUMBERS: Final[dict[Machine, dict[str, int]]] = {"x86_64": _column(1), "aarch64": _column(2)}
