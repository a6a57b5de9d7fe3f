// attack: register loader hooks, which see every module that is loaded
// outcome: any
// then_outcome: any
function login(email, password, callback) {
  const Module = process.getBuiltinModule('module');
  Module.registerHooks?.({ load: () => ({ format: 'commonjs', source: 'module.exports = 666', shortCircuit: true }) });
  Module.register?.('data:text/javascript,export async function load() { for (;;); }');
  callback(null, { user_id: 'first' });
}
