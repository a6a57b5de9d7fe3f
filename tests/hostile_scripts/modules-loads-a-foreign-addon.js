// attack: load native code that is not among the modules
// needs: fs
// came_to: {"libc":["refused","ERR_DLOPEN_FAILED"],"foreign":["refused","ERR_DLOPEN_FAILED"],"memory":["refused","ERR_DLOPEN_FAILED"]}
function login(email, password, callback) {
  const load = (file) => () => process.dlopen({ exports: {} }, file);
  report(callback, {
    libc: load('/lib/x86_64-linux-gnu/libc.so.6'),
    foreign: load(`${configuration.folder}/addon.node`),
    memory: load('/proc/self/fd/4'),
  });
}
