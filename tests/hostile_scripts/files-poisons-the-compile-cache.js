// attack: fill a compile cache that later processes would read
// needs: fs
// value: {"user_id":"attempted","on":false}
function login(email, password, callback) {
  const Module = process.getBuiltinModule('module');
  const { folder, mark } = configuration;
  const { status } = Module.enableCompileCache(`${folder}/${mark}`);
  Module.flushCompileCache?.();
  callback(null, { user_id: 'attempted', on: status === Module.constants.compileCacheStatus.ENABLED });
}
