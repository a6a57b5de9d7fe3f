// attack: change how modules are found, for the harness and for the next call
// value: {"user_id":"first"}
// then_value: {"user_id":"first"}
function login(email, password, callback) {
  const Module = process.getBuiltinModule('module');
  Module._load = Module._resolveFilename = () => ({ forged: true });
  Module._extensions['.js'] = () => {
    throw new Error('patched');
  };
  Module.prototype.require = () => ({ forged: true });
  Module.wrap = (text) => text;
  callback(null, { user_id: 'first' });
}
