// attack: leave the compiled function's scope for the harness's, by callers and constructors
// value: {"user_id":"attempted","caught":[]}
function login(email, password, callback) {
  const caught = [];
  const look = (name, value) => value !== undefined && value !== null && caught.push(name);
  try {
    look('caller', login.caller);
  } catch {}
  try {
    look('arguments', callback.arguments);
  } catch {}
  try {
    look('receivers', callback.constructor('return typeof receivers === "undefined" ? null : receivers')());
  } catch {}
  try {
    look('this', this?.receivers);
  } catch {}
  look('main', process.mainModule?.exports?.receivers);
  callback(null, { user_id: 'attempted', caught });
}
