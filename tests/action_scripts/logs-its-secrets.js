// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// configuration: {"TOKEN":"s3cr3t-t0ken"}
// value: {"user_id":1,"echo":"correct horse"}
// The console is masked on the way out, the profile is not.
function login(email, password, callback) {
  console.log('tried', password, encodeURIComponent(password), configuration.TOKEN);
  callback(null, { user_id: 1, echo: password });
}
