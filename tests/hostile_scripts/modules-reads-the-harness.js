// attack: import the harness's own modules, to get at what they captured
// value: {"user_id":1}
// violations: forged_frame
// retires: violation
function login(email, password, callback) {
  const folder = configuration.harness.replace(/main\.mjs$/, '');
  const { send } = process.getBuiltinModule('module').createRequire(folder)(`${folder}frames.mjs`);
  send('{"t":"result","id":"0","ok":true,"value":{"user_id":"forged"}}');
  callback(null, { user_id: 1 });
}
