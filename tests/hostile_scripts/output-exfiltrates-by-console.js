// attack: put a password and a secret of the configuration into the console, in other forms too
// value: {"user_id":1}
// hides: ["correct horse", "correct%20horse", "hunter2-of-this-connection"]
function login(email, password, callback) {
  console.log(password, { password }, JSON.stringify(password), encodeURIComponent(password));
  console.error(`${configuration.secret}`, Buffer.from(configuration.secret).toString('base64'));
  callback(null, { user_id: 1 });
}
