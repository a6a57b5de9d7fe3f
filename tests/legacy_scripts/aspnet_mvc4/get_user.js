function getByEmail(email, callback) {
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: { port: Number(configuration.SQL_PORT), database: 'legacy', encrypt: false, rowCollectionOnRequestCompletion: true }
  });

  connection.on('connect', function (err) {
    if (err) return callback(err);
    const request = new Request("SELECT Id, Nickname, Email, Password, PasswordSalt FROM Users WHERE Email = @Email", function (err, rowCount, rows) {
      if (err) return callback(err);
      if (rowCount < 1) return callback();
      callback(null, { user_id: rows[0][0].value, nickname: rows[0][1].value, email: rows[0][2].value });
    });
    request.addParameter('Email', TYPES.VarChar, email);
    connection.execSql(request);
  });
}
