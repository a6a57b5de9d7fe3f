// attack: become somebody else
// needs: full
// came_to: {"uid":"refused","gid":"refused","groups":"refused","euid":"refused"}
function login(email, password, callback) {
  report(callback, {
    uid: () => process.setuid(0 === process.getuid() ? 1 : 0),
    gid: () => process.setgid(0 === process.getgid() ? 1 : 0),
    groups: () => process.setgroups([0, 1, 42]),
    euid: () => process.seteuid(0 === process.getuid() ? 1 : 0),
  });
}
